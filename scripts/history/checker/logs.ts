/**
 * What anybody saw of the logs. A log is a user's timeline, under the user's address, or a group's, under the group's.
 * A place is one seq of a log; what the first reader saw there, all others have to see.
 */
import type { Message } from "./messages.ts";

export type Place = {
  seq: number;
  /** Undefined for changes of groups, memberships, and what was erased before anybody saw it. */
  message: Message | undefined;
  /** What it is, for comparison and for reports. */
  what: string;
  /** Of the history of the log; undefined where the reader could not know it. */
  epoch: string | undefined;
  /** Of the first sighting. */
  line: number;
  /** Of the first ack, or 0. */
  ackLine: number;
};

export class Log {
  readonly address: string;
  readonly places = new Map<number, Place>();
  /** The highest seq that anybody saw or got an ack for, in the present epoch. */
  head = 0;
  /** The line that told of it. */
  headLine = 0;
  readonly epochs = new Set<string>();

  constructor(address: string) {
    this.address = address;
  }

  /** Whether all places are of one history, so that a reader who names no epoch means this one. */
  readonly hasOneEpoch = (): boolean => this.epochs.size <= 1;

  raise(seq: number, line: number): void {
    if (seq <= this.head) return;
    this.head = seq;
    this.headLine = line;
  }

  /** The log was rebuilt: the numbering may begin anew. */
  sawEpoch(epoch: string): void {
    if (epoch === "" || this.epochs.has(epoch)) return;
    this.epochs.add(epoch);
    if (this.epochs.size > 1 && !this.isGroup) this.head = 0;
  }

  get isGroup(): boolean {
    return this.address.startsWith("#");
  }
}

export class Logs {
  readonly #logs = new Map<string, Log>();

  of(address: string): Log {
    let log = this.#logs.get(address);
    if (log === undefined) this.#logs.set(address, (log = new Log(address)));
    return log;
  }

  all(): Iterable<Log> {
    return this.#logs.values();
  }
}
