/**
 * The checks after a kill: everything acknowledged is there, nothing in part, nothing else, and every read agrees with
 * what was written.
 */
import { openLogStore } from "../../storage/open-store.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import type { Seq, ShardId, StoredEntry } from "../../storage/types.ts";
import { contentOf, LANES, LIMITS, readPayload, SHARDS, STREAMS } from "./content.ts";

export class Difference extends Error {}

/** State of one stream, as far as it was checked. */
type Checked = { headSeq: number; cells: Map<string, string> };

const PAGE = 500;
const FINDINGS_TOLD = 5;
const END = Number.MAX_SAFE_INTEGER as Seq;

/**
 * Remembers what it has checked, so that each round costs only what that round wrote; `whole` checks everything again.
 */
export class Inspection {
  readonly acked = new Map<number, number>();
  readonly #seed: number;
  /** By shard, the offset up to which everything was checked, and each stream up to there. */
  #through = new Map<number, number>();
  #streams = new Map<string, Checked>();
  entries = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  async look(directory: string, isWhole: boolean): Promise<{ tornBytes: number }> {
    const store = await openLogStore(
      { directory, ...LIMITS },
      {
        checkpoint: () => new Uint8Array(0),
        beforeWrite() {},
        onFlushFailure: fail,
        onListenerError: fail,
        onFailure: fail,
      },
    );
    try {
      if (isWhole) {
        this.#through = new Map();
        this.#streams = new Map();
        this.entries = 0;
      }
      const batches = new Map<string, { count: number; found: number }>();
      for (const shard of SHARDS) this.#lookAtShard(store.shard(shard as ShardId), batches);
      for (const [batch, { count, found }] of batches)
        if (found !== count) throw new Difference(`${found} of the ${count} records of batch ${batch} are there`);
      return { tornBytes: store.recovery.tornBytes };
    } finally {
      await store.close();
    }
  }

  /** Verifies every checksum and all invariants, as `parley verify` does: also data that no reader has met. */
  async verify(directory: string): Promise<void> {
    const { findings } = await verifyDirectory(directory, { companions: { constant: [], changing: [] } });
    if (findings.length > 0) throw new Difference(`verify finds ${JSON.stringify(findings.slice(0, FINDINGS_TOLD))}`);
  }

  #lookAtShard(log: ShardLog, batches: Map<string, { count: number; found: number }>): void {
    const acked = this.acked.get(log.shard) ?? 0;
    const through = log.durableThrough as number;
    if (through < acked)
      throw new Difference(`shard ${log.shard}: acknowledged through offset ${acked}, there are ${through}`);
    const from = this.#through.get(log.shard) ?? 0;
    const fresh = this.#freshEntries(log);
    for (let offset = from + 1; offset <= through; offset++) {
      const found = fresh.get(offset);
      if (found === undefined) throw new Difference(`shard ${log.shard}: offset ${offset} of ${through} is not there`);
      this.#lookAtEntry(log, offset, found, batches);
      fresh.delete(offset);
    }
    for (const offset of fresh.keys())
      throw new Difference(`shard ${log.shard}: offset ${offset} is there, the shard ends at ${through}`);
    for (const stream of STREAMS) this.#lookAtStream(log, stream);
    this.#through.set(log.shard, through);
    this.acked.set(log.shard, through);
  }

  /** Entries of all streams after the checked ones, by offset. */
  #freshEntries(log: ShardLog): Map<number, { stream: string; entry: StoredEntry }> {
    const fresh = new Map<number, { stream: string; entry: StoredEntry }>();
    for (const stream of STREAMS) {
      let after = this.#checked(log, stream).headSeq;
      for (
        let page = log.readForward(stream, after as Seq, PAGE);
        page.length > 0;
        page = log.readForward(stream, after as Seq, PAGE)
      ) {
        for (const entry of page) {
          if (entry.seq !== ++after)
            throw new Difference(`shard ${log.shard} ${stream}: seq ${entry.seq} where ${after} is due`);
          if (fresh.has(entry.offset))
            throw new Difference(`shard ${log.shard}: offset ${entry.offset} is there twice`);
          fresh.set(entry.offset, { stream, entry });
        }
      }
    }
    return fresh;
  }

  #lookAtEntry(
    log: ShardLog,
    offset: number,
    found: { stream: string; entry: StoredEntry },
    batches: Map<string, { count: number; found: number }>,
  ): void {
    const due = contentOf(this.#seed, log.shard, offset);
    const { stream, entry } = found;
    const { batch, count, text } = readPayload(Buffer.from(entry.payload).toString());
    const isSame = stream === due.stream && entry.lane === due.lane && entry.key === due.key && text === due.text;
    if (!isSame) throw new Difference(`shard ${log.shard}: offset ${offset} is not what was written`);
    const known = batches.get(batch) ?? { count, found: 0 };
    known.found++;
    batches.set(batch, known);
    const checked = this.#checked(log, stream);
    checked.headSeq = entry.seq;
    if (due.cell?.value === null) checked.cells.delete(due.cell.key);
    else if (due.cell !== undefined) checked.cells.set(due.cell.key, due.cell.value);
    if (due.key !== "" && log.findKey(stream, due.key)?.seq !== entry.seq)
      throw new Difference(`shard ${log.shard} ${stream}: key ${due.key} is not found`);
    this.entries++;
  }

  /** Checks head, cells, and the newest entries of each lane, backward. */
  #lookAtStream(log: ShardLog, stream: string): void {
    const { headSeq, cells } = this.#checked(log, stream);
    const place = `shard ${log.shard} ${stream}`;
    if ((log.head(stream)?.headSeq ?? 0) !== headSeq)
      throw new Difference(`${place}: the head is ${log.head(stream)?.headSeq}, the last entry ${headSeq}`);
    const found = new Map([...log.cells(stream)].map(([key, value]) => [key, Buffer.from(value).toString()]));
    if (!Bun.deepEquals(found, cells))
      throw new Difference(`${place}: cells are ${JSON.stringify([...found])}, due ${JSON.stringify([...cells])}`);
    const newest = log.readForward(stream, Math.max(0, headSeq - 50) as Seq, 50);
    for (const lane of LANES) {
      const due = newest.filter((entry) => entry.lane === lane).slice(-10);
      const backward = log.readLaneBackward(stream, lane, END, due.length);
      if (
        !Bun.deepEquals(
          backward.map(({ seq }) => seq),
          due.map(({ seq }) => seq),
        )
      )
        throw new Difference(`${place}: lane ${lane} read backward differs`);
    }
  }

  #checked(log: ShardLog, stream: string): Checked {
    const id = `${log.shard} ${stream}`;
    const checked = this.#streams.get(id) ?? { headSeq: 0, cells: new Map() };
    this.#streams.set(id, checked);
    return checked;
  }
}

function fail(error: unknown): void {
  throw error;
}
