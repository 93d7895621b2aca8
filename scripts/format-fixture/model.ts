/** The expected content of a data directory, recorded while it is made. */

export type FixtureEntry = { seq: number; offset: number; lane: string; key: string; payload: string };
export type FixtureStream = {
  streamNo: number;
  headSeq: number;
  entries: FixtureEntry[];
  cells: Record<string, string>;
  /** `value` is null for the key of an entry. */
  keys: Record<string, { seq: number; value: string | null }>;
  /** Keys of entries that were erased. */
  gone: string[];
};
/** By shard, then by stream. */
export type FixtureContent = Record<string, { durableThrough: number; streams: Record<string, FixtureStream> }>;

export class FixtureModel {
  readonly #content: FixtureContent = {};

  expected(): FixtureContent {
    return this.#content;
  }

  /** Called for every record of a shard. */
  nextOffset(shard: number): number {
    return ++this.#shard(shard).durableThrough;
  }

  /** @returns its seq */
  entry(shard: number, name: string, entry: Omit<FixtureEntry, "seq">): number {
    const stream = this.#stream(shard, name);
    const seq = ++stream.headSeq;
    stream.entries.push({ seq, ...entry });
    if (entry.key !== "") stream.keys[entry.key] ??= { seq, value: null };
    return seq;
  }

  cell(shard: number, name: string, key: string, value: string | null): void {
    const { cells } = this.#stream(shard, name);
    if (value === null) delete cells[key];
    else cells[key] = value;
  }

  key(shard: number, name: string, key: string, seq: number, value: string): void {
    this.#stream(shard, name).keys[key] ??= { seq, value };
  }

  erase(shard: number, name: string, lane: string | undefined, fromSeq: number, toSeq: number): void {
    const stream = this.#stream(shard, name);
    for (const entry of stream.entries) {
      if (entry.seq < fromSeq || entry.seq > toSeq || (lane !== undefined && entry.lane !== lane)) continue;
      if (entry.key !== "") {
        stream.gone.push(entry.key);
        delete stream.keys[entry.key];
      }
      entry.key = "";
      entry.payload = "";
    }
  }

  #shard(shard: number): FixtureContent[string] {
    return (this.#content[shard] ??= { durableThrough: 0, streams: {} });
  }

  #stream(shard: number, name: string): FixtureStream {
    const { streams } = this.#shard(shard);
    const streamNo = Object.keys(streams).length + 1;
    return (streams[name] ??= { streamNo, headSeq: 0, entries: [], cells: {}, keys: {}, gone: [] });
  }
}
