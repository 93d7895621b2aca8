/**
 * One reader that follows logs: a connection, or one reply of long poll. It knows which entry has to come next in each
 * log, and tells the guarantees what came instead.
 */
import type { Guarantee, World } from "./guarantee.ts";
import type { Log } from "./logs.ts";
import type { Knowledge, Person } from "./people.ts";
import { position, type Position, type StreamPositions } from "./position.ts";
import type { EntryFields, Sightings } from "./sightings.ts";

export type ReadingParts = {
  world: World;
  guarantees: readonly Guarantee[];
  sightings: Sightings;
  person: Person;
  device: string;
  /** What the user knew when the reading was asked for. */
  before: Knowledge;
};

export class Reading {
  readonly positions = new Map<string, Position>();
  isLive = false;
  /** A `reset` of the timeline has to come. */
  #awaitsReset = false;
  #mayReset = true;
  readonly #parts: ReadingParts;
  readonly #timeline: string;
  /** Undefined for long poll, which does not say where the logs end. */
  #heads: StreamPositions | undefined;
  #epoch: string | undefined;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
    this.#timeline = parts.person.timeline;
  }

  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** A device that has nothing begins at the heads. */
  beginAt(heads: StreamPositions): void {
    this.#heads = heads;
    this.#epoch = heads.epoch;
    this.isLive = true;
    this.positions.set(this.#timeline, position(heads.timeline, heads.epoch));
    for (const [group, { seq, epoch }] of Object.entries(heads.groups)) this.positions.set(group, position(seq, epoch));
  }

  /** @param heads of `welcome`; long poll has only the epochs, in its new cursor */
  resume(cursor: StreamPositions, heads: StreamPositions | undefined, epochs: StreamPositions): void {
    this.#heads = heads;
    this.#epoch = epochs.epoch;
    const isBeyond = heads !== undefined && cursor.timeline > heads.timeline;
    const isStale = cursor.timeline > 0 && (cursor.epoch !== epochs.epoch || isBeyond);
    this.#awaitsReset = isStale;
    this.#mayReset = isStale || heads === undefined;
    this.positions.set(this.#timeline, position(cursor.timeline, epochs.epoch));
    for (const [group, { seq, epoch }] of Object.entries(cursor.groups)) {
      const now = epochs.groups[group];
      if (now === undefined) this.positions.set(group, position(seq, epoch, "left"));
      else if (seq > 0) this.positions.set(group, position(seq, epoch, epoch === now.epoch ? "followed" : "stale"));
    }
  }

  epochIn(group: string): string | undefined {
    return this.positions.get(group)?.epoch ?? this.#heads?.groups[group]?.epoch;
  }

  entry(fields: EntryFields, line: number): void {
    const { conversation, seq } = fields;
    if (typeof conversation !== "string" || typeof seq !== "number") return this.#misled("an entry has no seq", line);
    const isGroupLog = conversation.startsWith("#") && fields.t !== "membership";
    const address = isGroupLog ? conversation : this.#timeline;
    if (isGroupLog && fields.t === "group") this.#beginAgain(address, fields, seq);
    if (!isGroupLog) this.#mustBeReset(line);
    this.#step(this.#log(address), seq, line);
    const epoch = isGroupLog ? this.epochIn(address) : this.#epoch;
    this.#parts.sightings.entry(this.#parts.person, fields, epoch, line);
    if (fields.t === "membership") this.#membership(conversation, fields, line);
    if (fields.t === "group" && fields.user === this.#parts.person.user) this.#ownChange(address, fields, line);
  }

  /** An ack on the connection that sent it stands for its entry, except that of a repeated send. */
  acked(address: string, seq: number, isDuplicate: boolean, line: number): void {
    const log = this.#log(address);
    if (!isDuplicate && this.isLive) return this.#step(log, seq, line);
    const at = this.positions.get(address);
    if (at !== undefined) (at.apart ??= new Set()).add(seq);
  }

  gap(fields: { t?: unknown; conversation?: unknown; from?: unknown; to?: unknown }, line: number): void {
    const { from, to } = fields;
    const address = typeof fields.conversation === "string" ? fields.conversation : this.#timeline;
    if (typeof from !== "number" || typeof to !== "number" || from > to)
      return this.#misled(`a gap from ${String(from)} to ${String(to)}`, line);
    if (address === this.#timeline) {
      this.#mustBeReset(line);
      this.#mayBeRemade();
    }
    const at = this.positions.get(address);
    if (at === undefined) return void this.positions.set(address, position(to, this.#heads?.groups[address]?.epoch));
    if (from > at.seq + 1 && at.state === "followed") this.#hole(this.#log(address), at.seq + 1, from - 1, line);
    if (from <= at.seq) this.#misled(`a gap from ${from}, of which the device has entries up to ${at.seq}`, line);
    at.seq = Math.max(at.seq, to);
  }

  reset(conversation: unknown, line: number): void {
    if (typeof conversation === "string") return this.#resetGroup(conversation);
    if (!this.#mayReset) this.#misled("a reset of a timeline whose cursor was valid", line);
    this.#awaitsReset = false;
    if (this.#heads === undefined) this.positions.delete(this.#timeline);
    else this.positions.set(this.#timeline, position(this.#heads.timeline, this.#epoch));
  }

  /** Everything missed has come. */
  live(line: number): void {
    this.#mustBeReset(line);
    if (this.#heads !== undefined) this.#mustBeAt(this.#heads, line);
    this.isLive = true;
  }

  #mustBeAt(heads: StreamPositions, line: number): void {
    this.#mustHave(this.#timeline, heads.timeline, line);
    for (const [group, { seq, epoch }] of Object.entries(heads.groups)) {
      const at = this.positions.get(group);
      if (at?.state === "stale") this.#misled(`${group} has another epoch, and no reset came`, line);
      if (at?.epoch === epoch) this.#mustHave(group, seq, line);
    }
  }

  /** The cursor of a reply says how far its frames went. */
  ends(cursor: StreamPositions, line: number): void {
    this.#mustBeReset(line);
    this.#mustEnd(this.#timeline, cursor.timeline, line);
    for (const [group, { seq }] of Object.entries(cursor.groups)) this.#mustEnd(group, seq, line);
  }

  #mustEnd(address: string, seq: number, line: number): void {
    const at = this.positions.get(address);
    if (at === undefined || at.state !== "followed" || seq === at.seq) return;
    if (seq > at.seq) return this.#hole(this.#log(address), at.seq + 1, seq, line);
    this.#misled(`the new cursor has ${address} at ${seq}, and its frames went to ${at.seq}`, line);
  }

  #mustHave(address: string, head: number, line: number): void {
    const at = this.positions.get(address);
    if (at === undefined || at.state !== "followed" || at.seq >= head) return;
    this.#hole(this.#log(address), at.seq + 1, head, line);
    at.seq = head;
  }

  #step(log: Log, seq: number, line: number): void {
    if (!Number.isInteger(seq) || seq < 1) return this.#misled(`an entry has the seq ${seq}`, line);
    const at = this.positions.get(log.address);
    if (at === undefined) return this.#begin(log.address, seq);
    if (seq <= at.seq) {
      for (const guarantee of this.#parts.guarantees) guarantee.again?.(log, seq, at.seq, this.#lines(line), this.#who);
      return;
    }
    if (at.state === "stale") this.#misled(`${log.address} has another epoch, and no reset came`, line);
    else if (seq > at.seq + 1 && at.state !== "left" && seq > at.mayJumpTo) this.#missing(log, at, seq, line);
    if (at.state === "stale") at.state = "followed";
    at.seq = seq;
  }

  /** The `membership` of a group that was made anew may be in the gap. */
  #mayBeRemade(): void {
    for (const [address, { state }] of this.positions) if (state === "stale") this.positions.delete(address);
  }

  #begin(address: string, seq: number): void {
    const begun = position(seq, this.#heads?.groups[address]?.epoch, address.startsWith("#") ? "begun" : "followed");
    begun.beganAt = seq;
    this.positions.set(address, begun);
  }

  #missing(log: Log, at: Position, seq: number, line: number): void {
    for (let from = at.seq + 1; from < seq; from++) {
      if (at.apart?.has(from)) continue;
      let to = from;
      while (to + 1 < seq && !at.apart?.has(to + 1)) to++;
      this.#hole(log, from, to, line);
      from = to;
    }
  }

  /** A group of this id was made anew: its log goes on, under another epoch. */
  #beginAgain(group: string, { change, epoch }: EntryFields, seq: number): void {
    if (change !== "created" || typeof epoch !== "string") return;
    const at = this.positions.get(group);
    if (at?.epoch === epoch || (at !== undefined && seq <= at.seq)) return;
    this.positions.set(group, position(seq - 1, epoch));
  }

  #membership(group: string, { change, groupSeq, epoch }: EntryFields, line: number): void {
    if (typeof groupSeq !== "number" || typeof epoch !== "string") return;
    const at = this.positions.get(group);
    if (change === "left") {
      if (at !== undefined && at.seq <= groupSeq) at.state = "left";
      return;
    }
    // In a replay, only the epoch in `welcome` is today's.
    const isPresent =
      epoch !== "" && (this.isLive || this.#heads === undefined || this.#heads.groups[group]?.epoch === epoch);
    if (!isPresent) return;
    if (at === undefined || at.state === "stale" || (at.epoch !== undefined && at.epoch !== epoch && at.seq < groupSeq))
      return void this.positions.set(group, position(groupSeq - 1, epoch));
    at.epoch ??= epoch;
    this.#joined(group, at, groupSeq, line);
  }

  #joined(group: string, at: Position, groupSeq: number, line: number): void {
    at.mayJumpTo = groupSeq;
    if (at.state === "begun" && at.beganAt > groupSeq) this.#hole(this.#log(group), groupSeq, at.beganAt - 1, line);
    at.state = "followed";
  }

  #ownChange(group: string, { change, seq }: EntryFields, line: number): void {
    const at = this.positions.get(group);
    if (at === undefined) return;
    if (change === "left") at.state = "left";
    else if (change === "joined") this.#joined(group, at, Number(seq), line);
  }

  #resetGroup(group: string): void {
    const head = this.#heads?.groups[group];
    if (head === undefined) this.positions.delete(group);
    else this.positions.set(group, position(head.seq, head.epoch));
  }

  #mustBeReset(line: number): void {
    if (!this.#awaitsReset) return;
    this.#awaitsReset = false;
    this.#misled("the cursor's timeline is not of this epoch, and no reset came", line);
  }

  #hole(log: Log, from: number, to: number, line: number): void {
    const { device, person, guarantees } = this.#parts;
    const at = this.positions.get(log.address);
    const hole = { log, from, to, epoch: at?.epoch, user: person.user, device, isLive: this.isLive };
    for (const guarantee of guarantees) guarantee.hole?.({ ...hole, lines: this.#lines(line) });
  }

  #misled(problem: string, line: number): void {
    for (const guarantee of this.#parts.guarantees) guarantee.misled?.(`${this.#who}: ${problem}`, this.#lines(line));
  }

  #log(address: string): Log {
    return this.#parts.world.logs.of(address);
  }

  #lines(line: number): number[] {
    return [this.#parts.before.line, line];
  }

  get #who(): string {
    return `${this.#parts.person.user}'s device ${this.#parts.device}`;
  }
}
