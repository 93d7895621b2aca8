/**
 * Direct messages between made-up users, in the records that the server writes: one for the sender, one for the
 * receiver.
 */
import { shardOf, userAddress, type UserAddress, type UserId } from "../../src/domain/address.ts";
import { payloadBytesMax, writeSent, writeTaken } from "../../src/domain/entries.ts";
import type { LogFailedError } from "../../storage/errors.ts";
import type { LogStore } from "../../storage/log-store.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle, type Outcome, type RecordSource } from "../../storage/shard/staged-record.ts";
import type { Seq, StreamHead } from "../../storage/types.ts";
import { seededRandom } from "./measure.ts";

/** An outcome that is ignored. */
const UNHEARD: Outcome = { committed() {}, failed() {} };

export type ChatOptions = {
  lines: string[];
  users: number;
  /** Number of shards with users. */
  shards: number;
  /** Number of users each user talks to. */
  peers: number;
  seed: number;
};

export const RECORDS_PER_MESSAGE = 2;
const BEGAN_AT = 1_763_740_800_000;

type Person = { address: UserAddress; log: ShardLog; handle: StreamHandle; seq: number; sent: number };

export class Chat {
  readonly #options: ChatOptions;
  readonly #random: () => number;
  readonly #people: Person[];
  readonly #lineBytes: number[];
  #now = BEGAN_AT;
  #line = 0;
  #textBytes = 0;

  constructor(store: LogStore, options: ChatOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#lineBytes = options.lines.map((line) => Buffer.byteLength(line));
    this.#people = Array.from({ length: options.users }, (_, at) => {
      const address = userAddress(`user${at}` as UserId);
      const log = store.shard((shardOf(address) % options.shards) as never);
      return { address, log, handle: new StreamHandle(address, log.head(address)), seq: 0, sent: 0 };
    });
  }

  /** UTF-8 bytes of all texts so far, each counted once. */
  get textBytes(): number {
    return this.#textBytes;
  }

  /** Heads of all streams, as of the durable records. */
  heads(): [stream: string, head: StreamHead][] {
    return this.#people.flatMap(({ address, log }) => {
      const head = log.head(address);
      return head === undefined ? [] : [[address, { streamNo: head.streamNo, headSeq: head.headSeq }]];
    });
  }

  /** Appends one message. `outcome` is notified of the receiver's record, the last of the two. */
  message(outcome?: Outcome): void {
    const { lines, users, peers } = this.#options;
    const from = Math.floor(this.#random() * users);
    const to = (from + 1 + Math.floor(this.#random() * peers)) % users;
    const line = this.#line++ % lines.length;
    const text = lines[line]!;
    this.#textBytes += this.#lineBytes[line]!;
    this.#now += Math.floor(this.#random() * 300);
    this.#append(this.#people[from]!, this.#people[to]!, text, outcome);
  }

  #append(sender: Person, receiver: Person, text: string, outcome: Outcome = UNHEARD): void {
    const fromSeq = ++sender.seq as Seq;
    sender.log.append(new Sent(sender, receiver.address, `d7k2-${++sender.sent}`, fromSeq, this.#now, text));
    const seq = ++receiver.seq as Seq;
    receiver.log.append(new Taken(receiver, sender, fromSeq, seq, this.#now, text, outcome));
  }
}

class Sent implements RecordSource {
  readonly #sender: Person;
  readonly #to: UserAddress;
  readonly #ref: string;
  readonly #seq: Seq;
  readonly #at: number;
  readonly #text: string;

  constructor(sender: Person, to: UserAddress, ref: string, seq: Seq, at: number, text: string) {
    this.#sender = sender;
    this.#to = to;
    this.#ref = ref;
    this.#seq = seq;
    this.#at = at;
    this.#text = text;
  }

  encode(): void {
    const { log, handle } = this.#sender;
    log.beginEntry(handle, this.#to, this.#ref, this.#seq, payloadBytesMax(this.#text));
    writeSent(log.writer, this.#at, this.#text);
    log.endEntry();
  }

  committed(): void {}

  failed(): void {}
}

class Taken implements RecordSource {
  readonly #receiver: Person;
  readonly #sender: Person;
  readonly #fromSeq: Seq;
  readonly #seq: Seq;
  readonly #at: number;
  readonly #text: string;
  readonly #outcome: Outcome;

  constructor(receiver: Person, sender: Person, fromSeq: Seq, seq: Seq, at: number, text: string, outcome: Outcome) {
    this.#receiver = receiver;
    this.#sender = sender;
    this.#fromSeq = fromSeq;
    this.#seq = seq;
    this.#at = at;
    this.#text = text;
    this.#outcome = outcome;
  }

  encode(): void {
    const { log, handle } = this.#receiver;
    log.beginEntry(handle, this.#sender.address, "", this.#seq, payloadBytesMax(this.#text));
    writeTaken(log.writer, this.#at, this.#fromSeq, this.#sender.handle.streamNo, this.#seq, this.#text);
    log.endEntry();
  }

  committed(): void {
    this.#outcome.committed();
  }

  failed(error: LogFailedError): void {
    this.#outcome.failed(error);
  }
}
