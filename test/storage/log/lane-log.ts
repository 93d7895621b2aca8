/**
 * A second `CommitLog`, over lanes that are elsewhere (lanes.ts). It does what the local one never does:
 *
 * - each lane is written by itself, later or sooner as `delay` says, so shards are told in any order among each other;
 * - an answer can be lost: then the same bytes are sent again, and the copy that comes second is dead;
 * - a lane can be out of reach: its shards fail, and no others;
 * - a shard can be taken by another node: its records are fenced.
 *
 * A position is the place in the shard's lane.
 */
import { FencedError, LogFailedError, type LogFailure } from "../../../storage/errors.ts";
import type * as port from "../../../storage/log/commit-log.ts";
import { recordShard } from "../../../storage/encoding/record.ts";
import type { Shortage } from "../../../storage/shortage.ts";
import type { LogPosition, ShardId } from "../../../storage/types.ts";
import { Gathering } from "./gathering.ts";
import { type Lane, type LaneItem, LANES, laneOf, type Lanes } from "./lanes.ts";

export type Answer = "taken" | "taken, but the answer is lost" | "taken, then out of reach" | "out of reach";

export type LaneLogOptions = {
  lanes: Lanes;
  /** Shards that this node takes when the log is opened. */
  shards: readonly ShardId[];
  /** A name that no other log over these lanes has had. */
  owner: string;
  /** Resolves when the next request arrives. */
  delay: (lane: number) => Promise<void>;
  /** What becomes of it then. */
  answer: (lane: number) => Answer;
  /** Items of a lane that may be kept. */
  itemsMax: number;
};

const WAITING_BYTES_MAX = 1 << 20;

type Batch = { commits: port.Commit[]; bytes: Buffer };
/** One lane as this log writes it: one batch of it is under way at a time. */
type Writing = { batches: Batch[]; isUnderWay: boolean; neededFrom: number };

export class LaneLog implements port.CommitLog {
  readonly appender = new Gathering(
    (shard) => this.#mustNotBeFenced(shard),
    () => this.schedule(),
  );
  readonly hasDamagedParts = false;
  readonly #options: LaneLogOptions;
  readonly #hooks: port.LogHooks;
  readonly #writings: Writing[] = Array.from({ length: LANES }, () => ({
    batches: [],
    isUnderWay: false,
    neededFrom: 0,
  }));
  readonly #failures = new Map<ShardId, LogFailure>();
  /** Under which name each shard was taken. */
  readonly #owners = new Map<ShardId, string>();
  #takes = 0;
  #isScheduled = false;
  #isStopped = false;
  #refused: LogFailedError | undefined;
  #idle: (() => void)[] = [];

  constructor(options: LaneLogOptions, hooks: port.LogHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  // ---- opening

  async contents(): Promise<port.LogContents> {
    if (this.#lanes.every(({ end }) => end === 0)) return "nothing";
    let hasRecord = this.#lanes.some(({ before }) => before > 0);
    for (const lane of this.#lanes) lane.read(({ kind }) => (hasRecord ||= kind === "record"));
    return hasRecord ? "records" : "begun";
  }

  async begin(): Promise<void> {}

  async recover(reader: port.LogReader): Promise<port.LogRead> {
    for (const shard of this.#options.shards) this.#take(shard);
    let bytes = 0;
    for (const lane of this.#lanes) bytes += this.#read(lane, reader, () => true);
    return { bytes, tornBytes: 0, isMarked: true };
  }

  async open(): Promise<void> {}

  refuse(cause: unknown): void {
    this.#refused = new LogFailedError(cause);
  }

  async reopenShard(shard: ShardId, reader: port.LogReader): Promise<void> {
    if (this.#refused !== undefined) throw new Error("assertion failed: the log has failed as a whole");
    this.#take(shard);
    await this.#options.delay(laneOf(shard));
    this.#read(this.#laneOf(shard), reader, (read) => read === shard);
    const failure = this.#failures.get(shard);
    this.#failures.delete(shard);
    // What came meanwhile is of before.
    if (failure !== undefined) for (const commit of this.#takeOut(shard)) this.#guarded(() => commit.fail(failure));
  }

  reopen(hooks: port.LogHooks): LaneLog {
    return new LaneLog({ ...this.#options, owner: `${this.#options.owner}'` }, hooks);
  }

  /** Before it reads: from here on nobody else's record of the shard counts. */
  #take(shard: ShardId): void {
    const owner = `${this.#options.owner} ${++this.#takes}`;
    this.#owners.set(shard, owner);
    this.#options.lanes.take(shard, owner);
  }

  /** @returns bytes that were read */
  #read(lane: Lane, reader: port.LogReader, isWanted: (shard: ShardId) => boolean): number {
    let read = 0;
    lane.read((item, position, counts) => {
      const shard = item.kind === "term" ? item.shard : recordShard(item.bytes, 0);
      // What is behind the mark alone is wanted.
      if (!counts || !isWanted(shard) || position <= reader.flushed(shard).position) return;
      if (item.kind === "term") return reader.term(shard, item.term);
      const bytes = Buffer.from(item.bytes);
      read += bytes.length;
      reader.records({ name: `lane ${laneOf(shard)}`, bytes, position: position as LogPosition }, 0, bytes.length);
      bytes.fill(0xee);
    });
    return read;
  }

  // ---- writing

  schedule(): void {
    if (this.#isScheduled || this.#isStopped) return;
    this.#isScheduled = true;
    setImmediate(() => this.#write());
  }

  #write(): void {
    this.#isScheduled = false;
    this.#guarded(() => this.#hooks.beforeWrite());
    const { commits, bytes } = this.appender.close();
    for (const commit of commits) {
      const failure = this.#failures.get(commit.shard);
      if (failure !== undefined) this.#guarded(() => commit.fail(failure));
    }
    for (const [lane, writing] of this.#writings.entries()) {
      const own = commits.filter(({ shard }) => laneOf(shard) === lane && !this.#failures.has(shard));
      if (own.length === 0) continue;
      writing.batches.push({ commits: own, bytes });
      if (!writing.isUnderWay) void this.#writeLane(lane);
    }
    this.#tellIdle();
  }

  async #writeLane(lane: number): Promise<void> {
    const writing = this.#writings[lane]!;
    writing.isUnderWay = true;
    for (let batch = writing.batches[0]; batch !== undefined; batch = writing.batches[0]) {
      await this.#options.delay(lane);
      const answer = this.#options.answer(lane);
      if (answer !== "out of reach") this.#append(lane, batch);
      // The same bytes once more: the first copy counts.
      if (answer === "taken, but the answer is lost") continue;
      if (answer === "taken") this.#settle(lane, batch);
      else this.#laneFailed(lane);
      writing.batches.shift();
      this.#guarded(() => this.#hooks.afterCommit());
    }
    writing.isUnderWay = false;
    this.#tellIdle();
  }

  #append(lane: number, { commits, bytes }: Batch): void {
    const items = commits.map(({ shard, start, end }): LaneItem => {
      return { kind: "record", owner: this.#owners.get(shard) ?? "", bytes: Buffer.from(bytes.subarray(start, end)) };
    });
    this.#lanes[lane]!.append(items);
  }

  /** Reads the lane back: a record that counts is committed, one that does not was fenced. */
  #settle(lane: number, { commits, bytes }: Batch): void {
    const counted = new Map<string, number>();
    this.#lanes[lane]!.read((item, position, counts) => {
      if (item.kind === "record" && counts) counted.set(item.bytes.toString("latin1"), position);
    });
    for (let commit = commits.shift(); commit !== undefined; commit = commits.shift()) {
      const position = counted.get(bytes.subarray(commit.start, commit.end).toString("latin1"));
      if (position !== undefined) this.#commit(commit, bytes, position as LogPosition);
      else this.#fence(commit);
    }
  }

  #commit(commit: port.Commit, bytes: Buffer, position: LogPosition): void {
    try {
      commit.apply(bytes, position);
    } catch (cause) {
      return this.#fail(commit.shard, new LogFailedError(cause), [commit]);
    }
    this.#guarded(() => commit.notify());
  }

  #fail(shard: ShardId, error: LogFailedError, first: port.Commit[] = []): void {
    this.#failures.set(shard, error);
    for (const commit of [...first, ...this.#takeOut(shard)]) this.#guarded(() => commit.fail(error));
    this.#guarded(() => this.#hooks.onFailure(error, [shard]));
  }

  #fence(first: port.Commit): void {
    const { shard } = first;
    const error = new FencedError(shard, "another node has taken it");
    this.#failures.set(shard, error);
    const commits = [first, ...this.#takeOut(shard)];
    for (const commit of commits.toReversed()) commit.withdraw();
    for (const commit of commits) this.#guarded(() => commit.fail(error));
    this.#guarded(() => this.#hooks.onFailure(error, [shard]));
  }

  /** Nobody knows what of it got there, and it is given up. */
  #laneFailed(lane: number): void {
    const error = new LogFailedError(new Error(`lane ${lane} is out of reach`));
    const shards = this.#options.shards.filter((shard) => laneOf(shard) === lane && !this.#failures.has(shard));
    for (const shard of shards) this.#fail(shard, error);
  }

  /** Everything of the shard that has not ended, oldest first. */
  #takeOut(shard: ShardId): port.Commit[] {
    const taken = this.#writings[laneOf(shard)]!.batches.flatMap(({ commits }) => {
      const own = commits.filter((commit) => commit.shard === shard);
      commits.splice(0, commits.length, ...commits.filter((commit) => commit.shard !== shard));
      return own;
    });
    return [...taken, ...this.appender.takeOut(shard)];
  }

  #mustNotBeFenced(shard: ShardId): void {
    const failure = this.#failures.get(shard);
    if (failure instanceof FencedError) throw failure;
    if (!this.#owners.has(shard)) throw new FencedError(shard, "this node has not taken it");
  }

  #guarded(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#hooks.onListenerError(error);
    }
  }

  // ---- how it stands

  failure(shard?: ShardId): LogFailure | undefined {
    return this.#refused ?? (shard === undefined ? undefined : this.#failures.get(shard));
  }

  pressure(shard?: ShardId): number {
    if (this.failure(shard) !== undefined) return Number.POSITIVE_INFINITY;
    return this.appender.bytes / WAITING_BYTES_MAX;
  }

  shortage(shard?: ShardId): Shortage | undefined {
    if (this.failure(shard) !== undefined) return "log failed";
    return this.pressure(shard) > 1 ? "log behind" : undefined;
  }

  shortageCause(shard?: ShardId): unknown {
    return this.failure(shard);
  }

  // ---- keeping and trimming

  get #lanes(): readonly Lane[] {
    return this.#options.lanes.lanes;
  }

  #laneOf(shard: ShardId): Lane {
    return this.#lanes[laneOf(shard)]!;
  }

  get fullness(): number {
    const kept = this.#lanes.map(
      ({ end, before }, lane) => end - Math.max(before, this.#writings[lane]!.neededFrom - 1),
    );
    return Math.max(...kept) / this.#options.itemsMax;
  }

  heldBack({ shard, from }: port.Needed): number {
    return this.#laneOf(shard).end - from;
  }

  trim(needed: Iterable<port.Needed>): void {
    const all = [...needed];
    for (const [lane, { end }] of this.#lanes.entries()) {
      const own = all.filter(({ shard }) => laneOf(shard) === lane).map(({ from }) => from as number);
      const from = Math.min(end + 1, ...own);
      this.#writings[lane]!.neededFrom = from;
      this.#lanes[lane]!.trimBelow(from);
    }
  }

  async cut(): Promise<port.LogCut> {
    await this.idle();
    const ends = this.#lanes.map(({ end }) => end);
    return {
      holds: ({ shard, from }) => from <= ends[laneOf(shard)]!,
      isGone: () => this.#lanes.every(({ before }, lane) => before >= ends[lane]!),
    };
  }

  rangeOf(shard: ShardId, oldest: LogPosition | undefined, isAppending: boolean): port.LogRange {
    const { end } = this.#laneOf(shard);
    const first = oldest ?? (isAppending ? end : 0);
    return { first: first as LogPosition, last: (first === 0 ? 0 : Number.MAX_SAFE_INTEGER) as LogPosition };
  }

  // ---- life

  mustOwn(): void {}
  checkOwner(): void {}

  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#tellIdle();
    });
  }

  #tellIdle(): void {
    if (this.#isScheduled || this.#writings.some(({ isUnderWay }) => isUnderWay)) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async stop(): Promise<void> {
    await this.idle();
    this.#isStopped = true;
  }

  end(): void {}

  async canReopen(_shard?: ShardId): Promise<boolean> {
    return true;
  }
}
