/** What one person can ask of the server about others, and do to them. */
import { availableParallelism } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { GroupAddress } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS, GROUPS_PER_USER_MAX, UNASKED_GROUPS_PER_USER_MAX } from "../../src/domain/limits.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { DEFAULT_PASSWORD_OPTIONS } from "../../src/home/accounts/passwords.ts";
import { TOKEN_CHARACTERS_MAX } from "../../src/home/accounts/tokens.ts";
import { assertRoomForGroup } from "../../src/home/groups/group-quota.ts";
import { ConversationState } from "../../src/home/state/conversation-state.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

let node: TestNode;
let ann: Credentials;
let ben: Credentials;
const BURST = 20;

beforeAll(async () => {
  node = await startTestNode({ sendRate: 1, sendBurst: BURST });
  [ann, ben] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
  await node.api.group(ben, "theirs", []);
});
afterAll(() => node.stop());

test.each([
  ["a history", (name: string) => `/v1/conversations/%40${name}/messages`],
  ["a conversation", (name: string) => `/v1/conversations/%40${name}`],
  ["a group", (name: string) => `/v1/groups/${name}`],
  ["a group's history", (name: string) => `/v1/conversations/%23${name}/messages`],
  ["a group's entries", (name: string) => `/v1/entries?conversation=%23${name}`],
])("asking for what one has no conversation with costs as much as sending to it: %s", async (_, path) => {
  const [who] = await node.api.users(`guesser-${Bun.hash.crc32(path("x"))}`);
  const statuses: number[] = [];
  for (let n = 0; n < BURST + 10; n++) statuses.push((await node.api.get(path(`guess-${n}`), who!.token)).status);
  expect(statuses.filter((status) => status === 404).length).toBeLessThanOrEqual(BURST + 3);
  expect(statuses.at(-1)).toBe(429);
  const sent = await node.api.post("/v1/messages", who!.token, { to: "@ben", text: "hi", ref: "r" });
  expect(sent.status).toBe(429);
});

test("a foreign group and one that is not there are answered alike, word for word", async () => {
  const ask = async (group: string) => {
    const { status, body } = await node.api.get(`/v1/conversations/%23${group}`, ann.token);
    return [status, body.code, body.detail.replace(group, "")];
  };
  expect(await ask("theirs")).toEqual(await ask("nobodys"));
});

describe("groups that one is put into", () => {
  const inGroups = (own: number, unasked: number): UserState => {
    const conversations = Array.from({ length: own + unasked }, (_, n) => {
      const conversation = new ConversationState(`#g${n}` as GroupAddress);
      conversation.joinedSeq = conversation.takenThrough = conversation.takenThroughPending = 1 as Seq;
      conversation.isPutIn = conversation.isPutInPending = n >= own;
      return [conversation.address, conversation] as const;
    });
    return { address: "@victim", conversations: new Map(conversations) } as unknown as UserState;
  };

  test("more than the limit are refused, and the refusal tells a stranger no number", () => {
    const full = inGroups(GROUPS_PER_USER_MAX, UNASKED_GROUPS_PER_USER_MAX);
    expect(() => assertRoomForGroup(full, true)).toThrow(`in ${GROUPS_PER_USER_MAX} groups`);
    let detail = "";
    try {
      assertRoomForGroup(full, false);
    } catch (error) {
      detail = (error as Error).message;
    }
    expect(detail).toContain("@victim");
    expect(detail).not.toMatch(/\d/);
  });

  test("do not use up one's own places, nor one's own groups those", () => {
    expect(() =>
      assertRoomForGroup(inGroups(GROUPS_PER_USER_MAX - 1, UNASKED_GROUPS_PER_USER_MAX), true),
    ).not.toThrow();
    expect(() =>
      assertRoomForGroup(inGroups(GROUPS_PER_USER_MAX, UNASKED_GROUPS_PER_USER_MAX - 1), false),
    ).not.toThrow();
  });

  test("fit a cursor in one frame together with one's own, the longest names and numbers included", () => {
    const count = GROUPS_PER_USER_MAX + UNASKED_GROUPS_PER_USER_MAX;
    const position = { epoch: "e".repeat(8), seq: Number.MAX_SAFE_INTEGER };
    const names = Array.from({ length: count }, (_, n) => `#${String(n).padStart(32, "g")}`);
    const cursor = {
      epoch: position.epoch,
      timeline: position.seq,
      groups: Object.fromEntries(names.map((name) => [name, position])),
      marks: position.seq,
    };
    const hello = JSON.stringify({ t: "hello", token: "t".repeat(TOKEN_CHARACTERS_MAX), cursor });
    expect(Buffer.byteLength(hello)).toBeLessThanOrEqual(DEFAULT_LIMITS.frameBytesMax);
  });
});

test("passwords leave a core for messages", () => {
  const { concurrency } = DEFAULT_PASSWORD_OPTIONS;
  expect(concurrency).toBeGreaterThanOrEqual(1);
  expect(concurrency).toBeLessThanOrEqual(Math.max(1, availableParallelism() - 1));
});
