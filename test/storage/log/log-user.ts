/** A user of a `CommitLog`, as `ShardLog` is one: numbers records, notes what it is told, and what must never happen throws. */
import { FencedError, type LogFailure } from "../../../storage/errors.ts";
import type { Commit, CommitLog, LogHooks, LogReach, LogPart, LogReader } from "../../../storage/log/commit-log.ts";
import { beginRecord, endRecord, readRecordHeader, writeCell } from "../../../storage/encoding/record.ts";
import type { LogPosition, Offset, ShardId, Term } from "../../../storage/types.ts";

export type Found = { offset: number; term: number; text: string; position: number };

/** Where the value of a record's only cell begins: behind header, kind, stream, key and length. */
const VALUE_AT = 16 + 1 + 2 + 2 + 4;

/** One shard of one log. */
export class ShardUser {
  readonly shard: ShardId;
  term: Term;
  next: number;
  /** Pushed, and not ended; oldest first. */
  readonly pending: Pushed[] = [];
  readonly committed: Found[] = [];
  readonly failed: { text: string; error: LogFailure }[] = [];
  readonly withdrawn: string[] = [];
  /** What must never happen, and did. The log itself only knows that somebody threw. */
  readonly faults: string[] = [];

  constructor(shard: ShardId, term: Term, next: number) {
    this.shard = shard;
    this.term = term;
    this.next = next;
  }

  /** @throws FencedError */
  push(log: CommitLog, text: string, tell: Partial<Pick<Commit, "apply" | "notify">> = {}): void {
    const { out } = log.appender;
    const start = log.appender.open(this.shard);
    beginRecord(out, this.shard, this.term, this.next as Offset);
    writeCell(out, "s", "c", Buffer.from(text));
    endRecord(out, start);
    const pushed = new Pushed(this, this.next++, text, start, out.pos, tell);
    this.pending.push(pushed);
    log.appender.push(pushed);
  }

  get texts(): string[] {
    return this.committed.map(({ text }) => text);
  }
}

/** Each is notified of its end once, and in order. */
class Pushed implements Commit {
  readonly #user: ShardUser;
  readonly #tell: Partial<Pick<Commit, "apply" | "notify">>;
  readonly offset: number;
  readonly text: string;
  readonly start: number;
  readonly end: number;
  #state: "pending" | "committed" | "withdrawn" | "ended" = "pending";

  constructor(user: ShardUser, offset: number, text: string, start: number, end: number, tell: object) {
    this.#user = user;
    this.offset = offset;
    this.text = text;
    this.start = start;
    this.end = end;
    this.#tell = tell;
  }

  get shard(): ShardId {
    return this.#user.shard;
  }

  apply(bytes: Buffer, position: LogPosition): void {
    const { committed, pending } = this.#user;
    this.#goOn("pending", "committed");
    if (pending[0] !== this) this.#wrong(`${this.text} is committed before ${pending[0]?.text}`);
    if (position <= 0 || position < (committed.at(-1)?.position ?? 0)) this.#wrong(`position ${position} falls`);
    const found = foundAt(bytes, this.start, position);
    if (found.text !== this.text || found.offset !== this.offset) this.#wrong(`${found.text} is not ${this.text}`);
    this.#tell.apply?.(bytes, position);
    pending.shift();
    committed.push(found);
  }

  notify(): void {
    this.#goOn("committed", "ended");
    this.#tell.notify?.();
  }

  fail(error: LogFailure): void {
    const { pending, failed } = this.#user;
    if (error instanceof FencedError) this.#goOn("withdrawn", "ended");
    // What could not take effect is told that it failed.
    else {
      if (this.#state === "committed") this.#state = "pending";
      this.#goOn("pending", "ended");
      if (pending.shift() !== this) this.#wrong(`${this.text} failed before one that was pushed before it`);
    }
    failed.push({ text: this.text, error });
  }

  withdraw(): void {
    this.#goOn("pending", "withdrawn");
    if (this.#user.pending.pop() !== this) this.#wrong(`${this.text} is withdrawn, and a later one is not`);
    this.#user.next = this.offset;
    this.#user.withdrawn.push(this.text);
  }

  #wrong(what: string): never {
    this.#user.faults.push(what);
    throw new Error(what);
  }

  #goOn(from: string, to: "committed" | "withdrawn" | "ended"): void {
    if (this.#state !== from) this.#wrong(`${this.text} is ${to}, and was ${this.#state}`);
    this.#state = to;
  }
}

function foundAt(bytes: Buffer, at: number, position: number): Found {
  const { offset, term, end } = readRecordHeader(bytes, at);
  return { offset, term, text: bytes.toString("latin1", at + VALUE_AT, end), position };
}

/** Takes everything that a log reads. */
export class Reading implements LogReader {
  readonly found = new Map<ShardId, Found[]>();
  readonly terms = new Map<ShardId, number>();
  readonly #marks: ReadonlyMap<ShardId, LogReach>;

  constructor(marks: ReadonlyMap<ShardId, LogReach> = new Map()) {
    this.#marks = marks;
  }

  flushed(shard: ShardId): LogReach {
    return this.#marks.get(shard) ?? { offset: 0 as Offset, position: 0 as LogPosition, term: 0 as Term };
  }

  records({ bytes, position }: LogPart, from: number, to: number): void {
    for (let at = from; at < to;) {
      const { shard, term, offset, end } = readRecordHeader(bytes, at);
      const found = this.found.get(shard) ?? [];
      this.found.set(shard, found);
      if (offset > this.flushed(shard).offset) {
        const before = found.at(-1)?.offset ?? this.flushed(shard).offset;
        if (found.length > 0 && offset !== before + 1) throw new Error(`shard ${shard}: ${offset} after ${before}`);
        if (found.length > 0 && position < found.at(-1)!.position) throw new Error("positions fall");
        this.term(shard, term);
        found.push(foundAt(bytes, at, position));
      }
      at = end;
    }
  }

  term(shard: ShardId, term: Term): void {
    const before = this.terms.get(shard) ?? 0;
    if (term < before) throw new Error(`shard ${shard} falls from term ${before} to ${term}`);
    this.terms.set(shard, term);
  }

  neverBegun(): void {}

  loss({ error }: { error: Error }): void {
    throw error;
  }

  texts(shard: ShardId): string[] {
    return (this.found.get(shard) ?? []).map(({ text }) => text);
  }

  /** The shard goes on behind what was read. */
  user(shard: ShardId): ShardUser {
    const next = (this.found.get(shard)?.at(-1)?.offset ?? this.flushed(shard).offset) + 1;
    return new ShardUser(shard, (this.terms.get(shard) ?? 1) as Term, next);
  }
}

/** What a log has told its store. */
export class Told implements LogHooks {
  readonly errors: unknown[] = [];
  readonly failures: { error: LogFailure; shards: readonly ShardId[] }[] = [];
  writes = 0;
  commits = 0;
  onWrite: () => void = () => {};

  beforeWrite(): void {
    this.writes++;
    this.onWrite();
  }

  afterCommit(): void {
    this.commits++;
  }

  onListenerError(error: unknown): void {
    this.errors.push(error);
  }

  onFailure(error: LogFailure, shards: readonly ShardId[]): void {
    this.failures.push({ error, shards });
  }

  onTrimFailure(error: unknown): void {
    throw error;
  }

  kept(): [] {
    return [];
  }

  failedShards(): Set<ShardId> {
    return new Set(this.failures.flatMap(({ shards }) => shards));
  }
}
