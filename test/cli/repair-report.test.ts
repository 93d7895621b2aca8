/** What a repair tells a person: on the screen, and in the report beside the copy. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { requireRoom } from "../../src/cli/repair-copy.ts";
import { repairReport } from "../../src/cli/repair-report.ts";
import { told } from "../../src/cli/repair-summary.ts";
import type { RepairedShard, RepairOfStore } from "../../storage/tools/repair/repair.ts";
import type { ShardId } from "../../storage/types.ts";
import { temporaryDirectory } from "./processes.ts";

const MISSING = "records, perhaps, in damaged parts of the log";
const empty = (shard: number): RepairedShard => ({
  shard: shard as ShardId,
  found: ["the log is damaged"],
  missing: [MISSING],
  lost: [],
  mayLackNewest: true,
  mayShowErased: false,
  streams: 0,
  entries: 0,
});
const filled: RepairedShard = {
  ...empty(7),
  lost: [{ stream: "@ann", ranges: [{ from: 3, to: 5, lane: "@bob" }] }],
  streams: 2,
  entries: 40,
};
const repaired: RepairOfStore = {
  shards: Array.from({ length: 1000 }, (_, shard) => (shard === 7 ? filled : empty(shard))),
  left: [],
  parts: [
    {
      file: "wal/0000000001.wal",
      fileNo: 1,
      from: 24,
      bytes: Buffer.from("good \x00\x1b[31mmorning"),
      what: "no frame",
    },
  ],
  broken: [{ file: "shards/recent.db", table: "page", values: [7, "text\n", Buffer.from("hello")] }],
};
const copied = {
  unreadable: [{ path: "shards/007/state.db", from: 4096, to: 8192 }],
  leftOut: ["notes.txt"],
  keys: ["id.key is missing"],
};

test("the report names what was found, what is lost and in which conversation, and shows damaged bytes as text", () => {
  const report = repairReport("/data", repaired, [], copied);
  for (const line of [
    "parley repair of /data",
    "id.key is missing",
    "notes.txt is not a file of the server: it was not copied",
    "shards/007/state.db, bytes 4096 to 8191: the disk cannot read them",
    "shard 7\n  found    the log is damaged\n  missing  records, perhaps, in damaged parts of the log",
    "  lost     @ann entries 3 to 5, of @bob",
    "wal/0000000001.wal, 18 bytes at byte 24: no frame",
    "good ..[31mmorning",
    "shards/recent.db, a row of table page that fails its checksum:",
  ])
    expect(report).toContain(line);
  // Bytes that a terminal would obey are shown, not sent.
  expect(report).not.toContain("\x1b");
});

test("shards of which nothing could be found share one entry of the report, and one line on the screen", () => {
  const report = repairReport("/data", repaired, [], copied);
  expect(report.match(/^shards? \d/gm)).toEqual(["shards 0", "shard 7"]);
  expect(report).toContain("shards 0 to 6, 8 to 999: nothing was found in them");
  const screen = told({ repaired, notes: [], copied: copied as never, target: "/whole", reportAt: "/whole.txt" });
  expect(screen.match(/shard/g)!.length).toBe(2);
  expect(screen).toContain("shard 7: 40 entries saved, 3 entries lost in 1 stream");
  expect(screen).toContain("999 shards with nothing to be found in them; records of them may be lost");
});

test("a copy for which there is no room is not begun, and the numbers are told", () => {
  const place = temporaryDirectory();
  const to = join(place.path, "copy");
  mkdirSync(to);
  expect(() => requireRoom(to, 3 * 2 ** 30, 2 ** 20)).toThrow("needs 3.0 GiB, and 1.0 MiB are free");
  expect(existsSync(to)).toBe(false);
  place.remove();
});
