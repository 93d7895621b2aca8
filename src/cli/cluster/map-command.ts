/** `parley map`: the partition map of a cluster. */
import type { Command } from "../command.ts";
import { commandGroup } from "../command-group.ts";
import { mapAdd, mapRemove, mapSend } from "./map-change.ts";
import { mapInit } from "./map-init.ts";
import { mapShow } from "./map-show.ts";

export const mapCommand = (): Command =>
  commandGroup({
    name: "map",
    summary: "make, show and change the map of a cluster: which node owns which shard",
    note: "docs/cluster.md is a guide. Shards are moved by parley rebalance.",
    commands: [mapInit, mapShow, mapAdd, mapRemove, mapSend],
  });
