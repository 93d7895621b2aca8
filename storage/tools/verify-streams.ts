/**
 * The streams of a shard as all of its layers have them, in both files: numbers dense, reaches that only rise, and what
 * is not placed complete.
 *
 * Layers have been looked at one by one before (verify-layers.ts). What is placed is checked against these reaches in
 * verify-placed.ts.
 */
import { type Fragment, type StreamReach } from "../files/layers/fragment.ts";
import type { LayerSource } from "../files/layers/page-table.ts";
import { byName, LayeredStream } from "../files/layers/layered-stream.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import { NAMES_PER_PAGE, namesOfPage } from "../files/placed/state-reader.ts";
import type { Fault } from "./verify-rows.ts";

const RISING = ["headSeq", "headOffset", "placedSeq", "placedThrough"] as const;

/** How far a shard reaches, and how many streams it has. */
export type DueStreams = { flushedThrough: number; streams: number };

export class StreamCheck {
  readonly #due: DueStreams;
  readonly #fault: Fault;
  /** By stream number. */
  readonly reaches = new Map<number, StreamReach>();
  readonly heads = new Map<string, number>();
  /** What is not placed. */
  entries = 0;
  keys = 0;
  cells = 0;

  constructor(due: DueStreams, fault: Fault) {
    this.#due = due;
    this.#fault = fault;
  }

  /** @param sources the one with the older layers first */
  read(sources: readonly LayerSource[]): void {
    const layers = sources.flatMap((source) => source.stack.layers.map((layer) => source.fragments(layer)));
    for (const fragments of byName(layers)) {
      this.#verifyFragments(fragments);
      this.#stream(new LayeredStream(fragments));
    }
    const { streams } = this.#due;
    if (this.reaches.size !== streams)
      this.#fault("its streams", `layers have ${this.reaches.size}, the shard's row says ${streams}`);
  }

  #verifyFragments(fragments: readonly Fragment[]): void {
    fragments.forEach((fragment, at) => {
      const place = `stream ${fragment.name}`;
      const before = fragments[at - 1];
      if (before === undefined) return;
      if (fragment.streamNo !== before.streamNo)
        this.#fault(place, `it is number ${before.streamNo} in one layer and ${fragment.streamNo} in a later one`);
      for (const field of RISING) {
        const older = Math.max(...fragments.slice(0, at).map((one) => one[field]));
        if (fragment[field] !== 0 && fragment[field] < older)
          this.#fault(place, `${field} is ${older} in one layer and ${fragment[field]} in a later one`);
      }
    });
  }

  #stream(layered: LayeredStream): void {
    const { reach } = layered;
    const { name, streamNo, headSeq, headOffset, placedSeq, placedThrough } = reach;
    const place = `stream ${name}`;
    const { flushedThrough, streams } = this.#due;
    if (streamNo < 1 || streamNo > streams) this.#fault(place, `it has number ${streamNo}, there are ${streams}`);
    if (this.reaches.has(streamNo))
      this.#fault(place, `${this.reaches.get(streamNo)!.name} has number ${streamNo}, too`);
    if (placedSeq > headSeq || Math.max(headOffset, placedThrough) > flushedThrough)
      this.#fault(place, "it goes beyond what was flushed");
    if (placedSeq > 0 && placedThrough === 0) this.#fault(place, `seq ${placedSeq} is placed, but no offset is`);
    this.#unplaced(layered, place);
    this.reaches.set(streamNo, reach);
    this.heads.set(name, headSeq);
    for (const value of layered.cells().values()) if (value !== null) this.cells++;
  }

  /** Entries follow those that are placed, up to the head. */
  #unplaced(layered: LayeredStream, place: string): void {
    const { headSeq, headOffset, placedSeq, placedThrough } = layered.reach;
    let seq = placedSeq;
    let last = placedThrough + 1;
    let entryOffset: number | undefined;
    for (const item of layered.items()) {
      if (item.offset < last) return this.#fault(place, `offset ${item.offset} follows ${last} in what is not placed`);
      last = item.offset;
      if (item.alone || item.key !== "") this.keys++;
      if (item.alone) continue;
      if (item.seq !== seq + 1) return this.#fault(place, `seq ${item.seq} follows ${seq}`);
      [seq, entryOffset] = [item.seq, item.offset];
      this.entries++;
    }
    if (seq !== headSeq) this.#fault(place, `it ends with seq ${seq}, its reach says ${headSeq}`);
    if (entryOffset !== undefined && entryOffset !== headOffset)
      this.#fault(place, `it ends with offset ${entryOffset}, its reach says ${headOffset}`);
    if (last > this.#due.flushedThrough && layered.pieces.length > 0)
      this.#fault(place, `offset ${last} is beyond what was flushed`);
  }
}

/** Names by number in table `name` against the streams that layers have. @param streams how many the state knows */
export function verifyNames(
  state: SqlDatabase,
  streams: number,
  reaches: ReadonlyMap<number, StreamReach>,
  fault: Fault,
): void {
  const pages = state.sql("SELECT page FROM name ORDER BY page").all<{ page: number }>();
  let named = 0;
  for (const { page } of pages) {
    const place = `table name, row ${page}`;
    const names = namesOfPage(state, page);
    if (page * NAMES_PER_PAGE !== named || names.length > NAMES_PER_PAGE) fault(place, "names before it are missing");
    for (const [at, name] of names.entries()) {
      const found = reaches.get(page * NAMES_PER_PAGE + at + 1)?.name;
      if (found !== name) fault(place, `number ${page * NAMES_PER_PAGE + at + 1} is ${name}, layers say ${found}`);
    }
    named += names.length;
  }
  if (named !== streams) fault("table name", `${named} names, the shard's row says ${streams}`);
}
