import { expect, test } from "bun:test";
import fc from "fast-check";
import { MessageIds } from "../../src/domain/message-id.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { seeded } from "../support/seed.ts";

const ids = new MessageIds(Buffer.alloc(16, 7));
const place = fc.record({
  shard: fc.integer({ min: 0, max: 999 }),
  streamNo: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  seq: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
});

test("an id is 22 URL-safe characters, the same each time, and decodes to its place", () => {
  fc.assert(
    fc.property(place, ({ shard, streamNo, seq }) => {
      const id = ids.encode(shard as ShardId, streamNo, seq as Seq);
      expect(id).toMatch(/^[A-Za-z0-9_-]{22}$/);
      expect(ids.encode(shard as ShardId, streamNo, seq as Seq)).toBe(id);
      expect(ids.decode(id)).toEqual({ shard: shard as ShardId, streamNo, seq: seq as Seq });
    }),
    seeded(100),
  );
});

test("made-up ids, and ids of another key, do not decode", () => {
  const other = new MessageIds(Buffer.alloc(16, 8));
  expect(ids.decode("AAAAAAAAAAAAAAAAAAAAAA")).toBeUndefined();
  expect(ids.decode("short")).toBeUndefined();
  expect(ids.decode(other.encode(1 as ShardId, 1, 1 as Seq))).toBeUndefined();
});

test("ids of neighbouring seqs have no readable part in common", () => {
  const one = ids.encode(5 as ShardId, 1, 1 as Seq);
  const next = ids.encode(5 as ShardId, 1, 2 as Seq);
  expect(one.slice(0, 8)).not.toBe(next.slice(0, 8));
});
