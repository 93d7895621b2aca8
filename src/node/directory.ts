/** Where an address lives. On one node: here. */
import { shardOf } from "../domain/address.ts";
import type { Directory } from "../home/services.ts";

export const createDirectory = (node: string, url: () => string): Directory => ({
  route: (address) => ({ shard: shardOf(address), node, url: url() }),
});
