import { expect, test } from "bun:test";
import type { UserId } from "../../src/domain/address.ts";
import {
  authorOf,
  changedJson,
  payloadBytesMax,
  postedKey,
  readGroupEntry,
  readTimelineEntry,
  writeChanged,
  writeMembership,
  writePosted,
  writeSent,
  writeTaken,
  type GroupChangeDetail,
} from "../../src/domain/entries.ts";
import { rankOfTime } from "../../src/domain/rank.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import type { Offset, Seq, StoredEntry } from "../../storage/types.ts";

const AT = 1_763_740_800_123;
const ann = "ann" as UserId;
const seq = (value: number): Seq => value as Seq;

function stored(write: (out: ByteWriter) => void, key = ""): StoredEntry {
  const out = new ByteWriter(Buffer.alloc(payloadBytesMax("x".repeat(200))));
  write(out);
  return { seq: seq(1), offset: 1 as Offset, lane: "@bob", key, payload: out.bytes.subarray(0, out.pos) };
}

test.each([
  ["sent", stored((out) => writeSent(out, AT, "hé")), "119aa724d47b68c3a9"],
  ["taken", stored((out) => writeTaken(out, AT, seq(300), 7, 2, "hi")), "219aa724d47b07ac02026869"],
  [
    "joined",
    stored((out) => writeMembership(out, { kind: "membership", change: "joined", at: AT, groupSeq: seq(1) })),
    "319aa724d47b01",
  ],
  [
    "joined, unasked",
    stored((out) =>
      writeMembership(out, { kind: "membership", change: "joined", at: AT, groupSeq: seq(1), isUnasked: true }),
    ),
    "319aa724d47b0101",
  ],
  [
    "left",
    stored((out) => writeMembership(out, { kind: "membership", change: "left", at: AT, groupSeq: seq(129) })),
    "419aa724d47b8101",
  ],
  ["posted", stored((out) => writePosted(out, AT, "hi")), "519aa724d47b6869"],
])("a payload of the kind %s is these bytes", (_kind, { payload }, hex) => {
  expect(Buffer.from(payload).toString("hex")).toBe(hex);
});

test("what was sent and taken is read back, at any time and of any length", () => {
  for (const at of [0, 1, AT, 2 ** 40 - 1, 2 ** 40, 2 ** 44 - 1]) {
    const rank = rankOfTime(at);
    for (const text of ["", "hello", "🎈é\n".repeat(40)]) {
      const sent = stored((out) => writeSent(out, at, text));
      expect(readTimelineEntry(sent)).toEqual({ kind: "sent", sentAt: at, rank, text });
      for (const number of [1, 127, 128, 2 ** 31, 2 ** 48 - 1]) {
        const taken = stored((out) => writeTaken(out, at, seq(number), 5, number, text));
        const numbers = { fromSeq: seq(number), fromStreamNo: 5, ordinal: number };
        expect(readTimelineEntry(taken)).toEqual({ kind: "taken", sentAt: at, rank, ...numbers, text });
      }
    }
  }
});

test("a rank that follows from the time takes no room; any other one is read back, however far the clock is off", () => {
  const END = 2 ** 44 - 1;
  const plain = stored((out) => writeSent(out, AT, "hi")).payload;
  expect(stored((out) => writeSent(out, AT, "hi", rankOfTime(AT))).payload).toEqual(plain);
  for (const ahead of [1, -1, 63, -64])
    expect(stored((out) => writeSent(out, AT, "hi", rankOfTime(AT) + ahead)).payload).toHaveLength(plain.length + 1);
  const times = [0, 1, AT, END];
  for (const at of times) {
    for (const rank of times.flatMap((time) => [rankOfTime(time), rankOfTime(time) + 255, rankOfTime(time) + 1])) {
      const sent = stored((out) => writeSent(out, at, "hi", rank));
      expect(readTimelineEntry(sent)).toEqual({ kind: "sent", sentAt: at, rank, text: "hi" });
      const taken = stored((out) => writeTaken(out, at, seq(3), 5, 2, "hi", rank));
      expect(readTimelineEntry(taken)).toMatchObject({ sentAt: at, rank, fromSeq: 3, ordinal: 2, text: "hi" });
      const posted = stored((out) => writePosted(out, at, "hi", rank), postedKey(ann, "r-1"));
      expect(readGroupEntry(posted)).toEqual({ kind: "posted", sentAt: at, rank, author: ann, text: "hi" });
      expect(authorOf(posted)).toBe(ann);
      const detail: GroupChangeDetail = { change: "left", by: ann, at, user: ann };
      const changed = stored((out) => writeChanged(out, at, changedJson(detail), rank));
      expect(readGroupEntry(changed)).toEqual({ kind: "changed", rank, detail });
    }
  }
});

test("a time that an entry cannot hold is refused", () => {
  for (const at of [-1, 2 ** 44, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => stored((out) => writeSent(out, at, "hello"))).toThrow(RangeError);
    expect(() => stored((out) => writeChanged(out, at, "{}"))).toThrow(RangeError);
  }
});

test("memberships are read back", () => {
  for (const membership of [
    { change: "joined", isUnasked: false },
    { change: "joined", isUnasked: true },
    { change: "left" },
  ] as const) {
    const entry = { kind: "membership", at: AT, groupSeq: seq(1000), ...membership } as const;
    expect(readTimelineEntry(stored((out) => writeMembership(out, entry)))).toEqual(entry);
  }
});

test("a membership of an earlier version, which lacks the reason, counts as the user's own wish", () => {
  const payload = Buffer.from("319aa724d47b01", "hex");
  expect(readTimelineEntry({ seq: seq(1), offset: 1 as Offset, lane: "#club", key: "", payload })).toMatchObject({
    change: "joined",
    isUnasked: false,
  });
});

test("the author of a post is the one in its key, whatever the ref looks like", () => {
  const post = stored((out) => writePosted(out, AT, "hello"), postedKey(ann, "a/b/7"));
  expect(readGroupEntry(post)).toEqual({
    kind: "posted",
    sentAt: AT,
    rank: rankOfTime(AT),
    author: ann,
    text: "hello",
  });
  expect(authorOf(post)).toBe(ann);
});

test("a change of a group is read back with its time, and has no author", () => {
  const detail: GroupChangeDetail = { change: "created", by: ann, at: AT, name: "hikers", members: [ann] };
  const changed = stored((out) => writeChanged(out, detail.at, changedJson(detail)));
  expect(readGroupEntry(changed)).toEqual({ kind: "changed", rank: rankOfTime(AT), detail });
  expect(authorOf(changed)).toBeUndefined();
});

test("a payload of a kind that is not known is refused, not guessed at", () => {
  const unknown = stored((out) => out.raw(Buffer.from("f19aa810447b68", "hex")));
  expect(() => readTimelineEntry(unknown)).toThrow(RangeError);
  expect(() => readGroupEntry(unknown)).toThrow(RangeError);
  expect(() => readTimelineEntry(stored((out) => writePosted(out, AT, "hi")))).toThrow(RangeError);
  expect(() => readGroupEntry(stored((out) => writeSent(out, AT, "hi")))).toThrow(RangeError);
});

test("a payload that ends inside of a number is refused", () => {
  const { payload, ...entry } = stored((out) => writeTaken(out, AT, seq(300), 7, 2, ""));
  for (let length = 6; length < payload.length; length++)
    expect(() => readTimelineEntry({ ...entry, payload: payload.subarray(0, length) })).toThrow(RangeError);
});
