/** Histories for the segment tests: builds flush jobs the way the store above does, and keeps what every read must answer. */
import { ByteWriter } from "../../../storage/encoding/byte-writer.ts";
import {
  beginEntry,
  beginRecord,
  endEntry,
  endRecord,
  writeCell,
  writeErase,
  writeKey,
} from "../../../storage/encoding/record.ts";
import type { EraseRange, FlushJob } from "../../../storage/files/segment-store.ts";
import type { KeyHit, Offset, Seq, ShardId, Term } from "../../../storage/types.ts";

export type ModelEntry = { seq: Seq; offset: Offset; lane: string; key: string; payload: string };

export type ModelStream = {
  name: string;
  streamNo: number;
  headSeq: Seq;
  entries: ModelEntry[];
  keys: Map<string, KeyHit>;
  cells: Map<string, string>;
  erasedKeys: Set<string>;
};

/** One operation of a record. Keys and cells are of the stream; `value: null` clears a cell. */
export type Op =
  | { kind: "entry"; stream: string; lane: string; key: string; payload: string }
  | { kind: "key"; stream: string; key: string; seq: number; value: string }
  | { kind: "cell"; stream: string; key: string; value: string | null }
  | ({ kind: "erase" } & EraseRange);

/** A shard's log so far, and the records not flushed yet. */
export class ShardHistory {
  readonly shard: ShardId;
  readonly streams = new Map<string, ModelStream>();
  offset = 0 as Offset;
  flushedThrough = 0 as Offset;
  term = 1 as Term;
  #image = new ByteWriter(Buffer.allocUnsafeSlow(1024));
  #touched = new Set<ModelStream>();

  constructor(shard: number) {
    this.shard = shard as ShardId;
  }

  /** One record. A key that the stream has already is left out, as the store above would refuse it. */
  record(ops: Op[]): void {
    this.offset = (this.offset + 1) as Offset;
    const at = beginRecord(this.#image, this.shard, this.term, this.offset);
    for (const op of ops) this.#apply(op);
    endRecord(this.#image, at);
  }

  /** A job of everything since the last one, with these cells on top. */
  job(checkpoint: { stream: string; key: string; value: string | null }[] = []): FlushJob {
    const cells = new ByteWriter(Buffer.allocUnsafeSlow(64));
    for (const { stream, key, value } of checkpoint) this.#cell(cells, this.#stream(stream), key, value);
    const streams = [...this.#touched].map(({ name, streamNo, headSeq }) => ({ name, streamNo, headSeq }));
    const job = {
      shard: this.shard,
      term: this.term,
      throughOffset: this.offset,
      image: [owned(this.#image)],
      checkpoint: owned(cells),
      streams,
    };
    this.flushedThrough = this.offset;
    this.#image = new ByteWriter(Buffer.allocUnsafeSlow(1024));
    this.#touched = new Set();
    return job;
  }

  #stream(name: string): ModelStream {
    let stream = this.streams.get(name);
    if (stream === undefined) {
      const streamNo = this.streams.size + 1;
      stream = {
        name,
        streamNo,
        headSeq: 0 as Seq,
        entries: [],
        keys: new Map(),
        cells: new Map(),
        erasedKeys: new Set(),
      };
      this.streams.set(name, stream);
    }
    this.#touched.add(stream);
    return stream;
  }

  /** Entries become tombstones. */
  erase({ stream: name, lane, fromSeq, toSeq }: EraseRange): void {
    const stream = this.streams.get(name);
    if (stream === undefined) return;
    stream.entries = stream.entries.map((entry) => {
      if (entry.seq < fromSeq || entry.seq > toSeq || (lane !== undefined && entry.lane !== lane)) return entry;
      if (entry.key !== "") {
        stream.keys.delete(entry.key);
        stream.erasedKeys.add(entry.key);
      }
      return { ...entry, key: "", payload: "" };
    });
  }

  #apply(op: Op): void {
    const stream = this.#stream(op.stream);
    if (op.kind === "erase") {
      writeErase(this.#image, op.stream, op.lane, op.fromSeq as Seq, op.toSeq as Seq);
      return this.erase(op);
    }
    if (op.kind === "cell") return this.#cell(this.#image, stream, op.key, op.value);
    const isNew = op.key !== "" && !stream.keys.has(op.key);
    if (op.kind === "key") {
      if (!isNew) return;
      writeKey(this.#image, stream.name, op.key, op.seq as Seq, Buffer.from(op.value));
      stream.keys.set(op.key, { seq: op.seq as Seq, value: Buffer.from(op.value) });
      return;
    }
    const key = isNew ? op.key : "";
    const seq = (stream.headSeq = (stream.headSeq + 1) as Seq);
    const payload = Buffer.from(op.payload);
    const payloadAt = beginEntry(this.#image, stream.name, op.lane, key, seq, payload.length);
    this.#image.raw(payload);
    endEntry(this.#image, payloadAt);
    stream.entries.push({ seq, offset: this.offset, lane: op.lane, key, payload: op.payload });
    if (isNew) stream.keys.set(key, { seq, value: null });
  }

  #cell(out: ByteWriter, stream: ModelStream, key: string, value: string | null): void {
    writeCell(out, stream.name, key, value === null ? null : Buffer.from(value));
    if (value === null) stream.cells.delete(key);
    else stream.cells.set(key, value);
  }
}

function owned(out: ByteWriter): Uint8Array<ArrayBuffer> {
  return new Uint8Array(out.bytes.subarray(0, out.pos));
}

/** `count` chat-sized direct messages among `users`, each in its own record, keys as an SDK makes them. */
export function chat(history: ShardHistory, count: number, users: number): void {
  const words =
    "the kernel module does not load after an upgrade try dpkg reconfigure and reboot then check your sound settings".split(
      " ",
    );
  for (let i = 0; i < count; i++) {
    const user = (i * 7919) % users;
    const text = Array.from({ length: 11 }, (_, k) => words[(i * (k + 3) + k * k) % words.length]).join(" ");
    const payload = JSON.stringify({ text, from: `user${user}`, sentAt: 1_763_740_800_000 + i * 137 });
    const key = i % 2 === 0 ? `d${user % 97}-${i}` : "";
    history.record([{ kind: "entry", stream: `@user${user}`, lane: `@peer${(user + (i % 3)) % 50}`, key, payload }]);
  }
}
