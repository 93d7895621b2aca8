import { expect, test } from "bun:test";
import { parseAddress, parseUserId, shardOf, type Address } from "../../src/domain/address.ts";

/** Computed with another implementation of xxHash64 (seed 0, of the UTF-8, mod 1000). A change here moves every user: never change it. */
const VECTORS: Record<string, number> = {
  "@alice": 514,
  "@bob": 91,
  "#ubuntu": 347,
  "@a": 432,
  "#a": 527,
  "@0": 296,
  "@zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz": 257,
  "@x._-y": 640,
  "#team-1": 665,
};

test("the shard of an address is the same as in every earlier version", () => {
  for (const [address, shard] of Object.entries(VECTORS)) expect(Number(shardOf(address as Address))).toBe(shard);
});

test("addresses spread evenly over the shards", () => {
  const counts = new Uint32Array(1000);
  for (let user = 0; user < 100_000; user++) counts[shardOf(`@user-${user}` as Address)]!++;
  expect(Math.min(...counts)).toBeGreaterThan(50);
  expect(Math.max(...counts)).toBeLessThan(160);
});

test.each(["@alice", "#ubuntu", "@0", "@a.b_c-d", `@${"x".repeat(32)}`])("%s is an address", (text) => {
  expect(String(parseAddress(text))).toBe(text);
});

test.each([
  "alice",
  "@",
  "#",
  "",
  "@Alice",
  "@-a",
  "@.a",
  "@a b",
  "@ä",
  `@${"x".repeat(33)}`,
  "@a\n",
  "@@a",
  "#a/b",
  "@a\u0000",
])("%j is no address, and the error says so and where", (text) => {
  expect(() => parseAddress(text, "to")).toThrow(/^to: /);
});

test("a user id has no sigil", () => {
  expect(() => parseUserId("@alice")).toThrow("user:");
  expect(String(parseUserId("alice"))).toBe("alice");
});
