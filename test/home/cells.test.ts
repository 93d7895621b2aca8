import { expect, test } from "bun:test";
import { rankOfTime } from "../../src/domain/rank.ts";
import type { UserAddress, UserId } from "../../src/domain/address.ts";
import { encodeDevice, encodeProfile, epochOf, readDevice, readProfile } from "../../src/home/state/account-cells.ts";
import { cellNumber, CellReader, encodeCell } from "../../src/home/state/cells.ts";
import { ConversationState } from "../../src/home/state/conversation-state.ts";
import { conversationCell, readConversationCell } from "../../src/home/fold/derived-cells.ts";
import type { Seq } from "../../storage/types.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test.each([
  [[1, 127, 128], "017f8001"],
  [[2 ** 31 - 1], "ffffffff07"],
  [[2 ** 31], "8080808008"],
  [[2 ** 53 - 1], "ffffffffffffff0f"],
  [["é", 5], "02c3a905"],
  [[new Uint8Array([9, 0])], "020900"],
  [[0, "", 3, 0, ""], "000003"],
  [[0, "", 0], ""],
])("the fields %j are the bytes %s", (fields, bytes) => {
  expect(hex(encodeCell(...fields))).toBe(bytes);
});

test("a number of every length is read back", () => {
  for (let bits = 0; bits <= 53; bits++) {
    for (const number of [2 ** bits - 1, 2 ** bits === 2 ** 53 ? 2 ** 53 - 1 : 2 ** bits])
      expect(cellNumber(encodeCell(number))).toBe(number);
  }
});

test("large numbers behind a long text find room", () => {
  for (let length = 0; length < 300; length++) {
    const text = "x".repeat(length);
    const fields = new CellReader(encodeCell(text, 2 ** 53 - 1, 2 ** 52, text, 2 ** 53 - 1));
    expect([fields.text(), fields.number(), fields.number(), fields.text(), fields.number()]).toEqual([
      text,
      2 ** 53 - 1,
      2 ** 52,
      text,
      2 ** 53 - 1,
    ]);
  }
});

test("a field that an older cell has not got is 0 or empty", () => {
  const fields = new CellReader(encodeCell(7, "name"));
  expect([fields.number(), fields.text(), fields.number(), fields.text(), fields.bytes().length]).toEqual([
    7,
    "name",
    0,
    "",
    0,
  ]);
  expect(new CellReader(undefined).number()).toBe(0);
});

test("a field behind those that are known is passed over", () => {
  const profile = encodeCell(1_763_740_800_000, "Ann", 5, "later");
  expect(readProfile("ann" as UserId, profile)).toEqual({ createdAt: 1_763_740_800_000, displayName: "Ann" });
});

test("a display name that is the user id takes no room", () => {
  const user = "a-long-user-id" as UserId;
  const profile = { createdAt: 1_763_740_800_000, displayName: user };
  expect(encodeProfile(user, profile)).toHaveLength(6);
  expect(readProfile(user, encodeProfile(user, profile))).toEqual(profile);
});

test("a device is read back, one of a version that did not count logins, too", () => {
  const device = { createdAt: 1_763_740_800_000, tokenId: Buffer.from([0, 1, 2, 3, 255]), login: 3 };
  expect(readDevice(encodeDevice(device))).toEqual(device);
  expect(readDevice(encodeCell(device.createdAt, device.tokenId))).toEqual({ ...device, login: 0 });
});

test("the first epoch follows from whose history it is and when it began, for ever; a rebuilt one has its own", () => {
  const epoch = (address: string, createdAt: number, cell?: string): string =>
    epochOf(address as UserAddress, { createdAt, displayName: "" }, cell === undefined ? cell : Buffer.from(cell));
  expect(epoch("@ann", 1_763_740_800_000)).toBe("stswxr3y");
  expect(epoch("@ann", 1_763_740_800_001)).toBe("yprflil4");
  expect(epoch("@bob", 1_763_740_800_000)).toBe("2ozlejp3");
  expect(epoch("@ann", 1_763_740_800_000, "rebuilt2")).toBe("rebuilt2");
});

type Derived = Partial<
  Pick<ConversationState, "lastSeq" | "lastRank" | "incoming" | "takenThrough" | "takenSeq" | "joinedSeq" | "sentSeq">
>;

const seq = (value: number): Seq => value as Seq;

test.each<[string, string, Derived, number]>([
  ["sent to alone", "@bob", { lastSeq: seq(9), lastRank: rankOfTime(1_763_740_800_000), sentSeq: seq(9) }, 12],
  [
    "answered last",
    "@bob",
    {
      lastSeq: seq(300),
      lastRank: rankOfTime(1_763_740_800_000),
      incoming: 2,
      takenThrough: seq(40),
      takenSeq: seq(290),
      sentSeq: seq(300),
    },
    13,
  ],
  [
    "taken last",
    "@bob",
    {
      lastSeq: seq(300),
      lastRank: rankOfTime(1_763_740_800_000),
      incoming: 2,
      takenThrough: seq(40),
      takenSeq: seq(300),
      sentSeq: seq(0),
    },
    13,
  ],
  [
    "of a rank that no time says",
    "@bob",
    { lastSeq: seq(9), lastRank: rankOfTime(1_763_740_800_000) + 200, sentSeq: seq(4) },
    13,
  ],
  ["a group that the user is in", "#hikers", { lastSeq: seq(3), takenThrough: seq(1), joinedSeq: seq(1) }, 2],
  ["a group that was left", "#hikers", { lastSeq: seq(3), takenThrough: seq(200) }, 4],
])("the derived cell of a conversation is read back: %s", (_what, address, derived, bytes) => {
  const conversation = Object.assign(new ConversationState(address as UserAddress), derived);
  const cell = conversationCell(conversation);
  expect(cell).toHaveLength(bytes);
  const loaded = new ConversationState(address as UserAddress);
  readConversationCell({ lastRank: 0 }, loaded, new CellReader(cell));
  loaded.endLoad();
  expect(loaded).toMatchObject({ ...derived });
  expect([loaded.takenThroughPending, loaded.incomingPending]).toEqual([loaded.takenThrough, loaded.incoming]);
});
