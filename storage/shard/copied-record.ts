/** A record of another node's log, between "copied" and "durable here". Its operations are read when it takes effect. */
import type { LogFailure } from "../errors.ts";
import type { Commit } from "../log/commit-log.ts";
import type { LogPosition, Offset, ShardId } from "../types.ts";
import type { Outcome } from "./staged-record.ts";

type CopyLog = {
  readonly shard: ShardId;
  applyCopy(record: CopiedRecord, bytes: Buffer, position: LogPosition): void;
  withdraw(record: CopiedRecord): void;
};

export class CopiedRecord implements Commit {
  readonly #log: CopyLog;
  readonly #outcome: Outcome;
  readonly offset: Offset;
  readonly start: number;
  readonly end: number;

  constructor(log: CopyLog, offset: Offset, start: number, end: number, outcome: Outcome) {
    this.#log = log;
    this.#outcome = outcome;
    this.offset = offset;
    this.start = start;
    this.end = end;
  }

  get shard(): ShardId {
    return this.#log.shard;
  }

  apply(bytes: Buffer, position: LogPosition): void {
    this.#log.applyCopy(this, bytes, position);
  }

  notify(): void {
    this.#outcome.committed();
  }

  fail(error: LogFailure): void {
    this.#outcome.failed(error);
  }

  withdraw(): void {
    this.#log.withdraw(this);
  }
}
