/** What `repair` makes of damage: a directory that is whole again, and has all that was not lost. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { listFiles } from "../../../storage/tools/inventory.ts";
import { repairStore, type RepairOfStore } from "../../../storage/tools/repair/repair.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { LogHistory } from "../log-history.ts";
import { randomFrom } from "../../support/random.ts";
import { SEED } from "../../support/seed.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { damageFile, expectTold, HEAVY, openAt, writeData } from "./damaged-data.ts";

let place: string;
let source: string;
let history: LogHistory;
beforeAll(async () => {
  place = fs.mkdtempSync(join(tmpdir(), "parley-repair-"));
  source = join(place, "written");
  history = await writeData(source, randomFrom(1));
});
afterAll(() => fs.rmSync(place, { recursive: true, force: true }));

const damaged = (): string => join(place, "damaged");
const copy = (): string => join(place, "copy");
afterEach(() => {
  for (const path of [damaged(), copy()]) fs.rmSync(path, { recursive: true, force: true });
});

const files = (at: string): string[] =>
  listFiles(at)
    .filter(({ kind }) => kind === "file")
    .map(({ path }) => path);
const lastLog = (): string =>
  files(source)
    .filter((path) => path.endsWith(".wal"))
    .at(-1)!;

/** Repairs a copy of what was damaged, and expects it to be whole, and all that was not lost to be in it. */
async function repair(): Promise<RepairOfStore> {
  fs.cpSync(damaged(), copy(), { recursive: true, preserveTimestamps: true });
  const options = { laneOfLost: () => "@lost", keyOfLost: (_: string, key: string) => `lost ${key}` };
  const repaired = await repairStore(damaged(), copy(), options);
  const report = await verifyDirectory(copy(), { companions: { constant: [], changing: [] } });
  expect(report.findings).toEqual([]);
  const store = await openAt(copy());
  try {
    expectTold(store, history, repaired);
  } finally {
    await store.close();
  }
  return repaired;
}

async function repairAfter(damage: (at: string) => void): Promise<RepairOfStore> {
  fs.cpSync(source, damaged(), { recursive: true, preserveTimestamps: true });
  damage(damaged());
  return repair();
}

test("a directory in which nothing is damaged loses nothing", async () => {
  expect(await repairAfter(() => {})).toMatchObject({ shards: [], left: [] });
});

test("rows that were left out are told by the file that people know, and SQLite's own rows are none of them", async () => {
  const path = "shards/042/segment-000001.db";
  const { broken, shards } = await repairAfter((at) => {
    const bytes = fs.readFileSync(join(at, path));
    fs.writeFileSync(join(at, path), bytes.fill(0xa5, bytes.length - 300, bytes.length - 200));
  });
  expect(shards.map(({ shard }) => shard as number)).toEqual([42]);
  for (const { file, values } of broken) {
    expect(file).toBe(path);
    expect(values.some((value) => String(value).includes("CREATE TABLE"))).toBe(false);
  }
});

test.each(["layers BLOB", "own_through INT", "raw_bytes INT", "data BLOB"])(
  "a flipped bit in a column's name in recent.db (%s) is damage that is told, and a repair goes over it",
  async (column) => {
    const hit = (at: string): void => {
      const bytes = fs.readFileSync(join(at, "shards/recent.db"));
      bytes[bytes.lastIndexOf(column)]! ^= 0x20;
      fs.writeFileSync(join(at, "shards/recent.db"), bytes);
    };
    fs.cpSync(source, copy(), { recursive: true, preserveTimestamps: true });
    hit(copy());
    await expect(openAt(copy())).rejects.toThrow(CorruptionError);
    fs.rmSync(copy(), { recursive: true });
    await repairAfter(hit);
  },
);

/** Asks the shard with much for all that it has. */
async function readAll(directory: string): Promise<void> {
  const store = await openAt(directory);
  try {
    const log = store.shard(HEAVY as ShardId);
    for (const name of log.streams()) {
      for (const { lane, key } of log.readForward(name, 0 as Seq, 10_000)) {
        log.readLaneForward(name, lane, 0 as Seq, 10_000);
        log.findKey(name, key);
      }
    }
    await store.compact(HEAVY as ShardId);
  } finally {
    await store.close();
  }
}

test.each([
  ...["flushed_through INT", "streams INT", "layers BLOB", "names BLOB", "base INT", "first_seq INT"],
  ...["block INT", "entries INT", "prefix TEXT", "page BLOB", "alone BLOB"],
])(
  "a flipped bit in a column's name in a state.db (%s) is damage of its shard, and a repair goes over it",
  async (column) => {
    const hit = (at: string): void => {
      const path = join(at, "shards/042/state.db");
      const bytes = fs.readFileSync(path);
      bytes[bytes.lastIndexOf(column)]! ^= 0x20;
      fs.writeFileSync(path, bytes);
    };
    fs.cpSync(source, copy(), { recursive: true, preserveTimestamps: true });
    hit(copy());
    await expect(readAll(copy())).rejects.toThrow(CorruptionError);
    fs.rmSync(copy(), { recursive: true });
    expect((await repairAfter(hit)).shards.map(({ shard }) => shard as number)).toEqual([42]);
  },
);

describe("damage anywhere", () => {
  const runs = Number(process.env["RUNS"] ?? 30);
  const random = randomFrom(SEED);
  for (let run = 0; run < runs; run++) {
    test(`(${run}) what is lost is told, and what is not is there`, async () => {
      const done: string[] = [];
      try {
        await repairAfter((at) => {
          const paths = files(at);
          for (let n = 0; n < 1 + Math.floor(random() * 2); n++) {
            const path = paths[Math.floor(random() * paths.length)]!;
            if (fs.existsSync(join(at, path)))
              done.push(`${path}: ${damageFile(join(at, path), random, path === lastLog())}`);
          }
        });
      } catch (error) {
        throw new Error(`after ${done.join("; ")}: ${(error as Error).message}`, { cause: error });
      }
    });
  }
});
