import { expect, test } from "bun:test";
import { CellCache } from "../../../storage/files/cell-cache.ts";
import type { ShardId } from "../../../storage/types.ts";

const [SHARD, OTHER] = [7 as ShardId, 8 as ShardId];

/** A cache over one cell, whose value is how often it was read. */
function counted(): { ask: (shard?: ShardId, stream?: string, name?: string) => number; cache: CellCache } {
  const cache = new CellCache();
  let reads = 0;
  const ask = (shard = SHARD, stream = "@ann", name = "device/1"): number => {
    const value = cache.get(shard, stream, name, () => Uint8Array.of(++reads >> 8, reads & 255))!;
    return value[0]! * 256 + value[1]!;
  };
  return { ask, cache };
}

test("a cell is read once, until files of its shard change", () => {
  const { ask, cache } = counted();
  expect([ask(), ask()]).toEqual([1, 1]);
  cache.changed(OTHER);
  expect(ask()).toBe(1);
  cache.changed(SHARD);
  expect([ask(), ask()]).toEqual([2, 2]);
});

test("while files change they are asked", () => {
  const { ask, cache } = counted();
  ask();
  cache.changing(SHARD);
  expect([ask(), ask(), ask(OTHER), ask(OTHER)]).toEqual([2, 3, 4, 4]);
  cache.changed(SHARD);
  expect([ask(), ask()]).toEqual([5, 5]);
});

test("cells of other shards, streams and names are others", () => {
  const { ask } = counted();
  expect([ask(), ask(OTHER), ask(SHARD, "@bob"), ask(SHARD, "@ann", "device/2"), ask()]).toEqual([1, 2, 3, 4, 1]);
});

test("a cell that is not there is remembered, a large one is read again", () => {
  const cache = new CellCache();
  const reads: string[] = [];
  const ask = (name: string, value: Uint8Array | undefined): void => {
    cache.get(SHARD, "@ann", name, () => {
      reads.push(name);
      return value;
    });
  };
  for (let n = 0; n < 2; n++) {
    ask("none", undefined);
    ask("large", new Uint8Array(257));
  }
  expect(reads).toEqual(["none", "large", "large"]);
});

test("what was not asked for longest is forgotten", () => {
  const { ask } = counted();
  for (let n = 0; n < 1024; n++) ask(SHARD, "@ann", `device/${n}`);
  expect(ask(SHARD, "@ann", "device/0")).toBe(1);
  ask(SHARD, "@ann", "one more");
  expect(ask(SHARD, "@ann", "device/0")).toBe(1);
  expect(ask(SHARD, "@ann", "device/1")).toBe(1026);
});
