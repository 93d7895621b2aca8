import { expect, test } from "bun:test";
import { wholeBlock } from "../../../storage/files/placed/segment-file.ts";
import type { ShardId } from "../../../storage/types.ts";

const place = { shard: 7 as ShardId, file: 1, block: 1 };
const data = new Uint8Array([1, 2, 3]);

test.each([
  ["bytes below 0", place, 0, -23_131],
  ["more bytes than fit", place, 0, 2 ** 48],
  ["half a byte", place, 0, 0.5],
  ["a codec that is no whole number", place, 0.5, 3],
  ["a row below 0", { ...place, block: -1 }, 0, 3],
])("a block whose numbers damage made is not whole, and nothing throws: %s", (_, where, codec, rawBytes) => {
  expect(wholeBlock(where, [null, codec, rawBytes, 0, data])).toBe(undefined);
});
