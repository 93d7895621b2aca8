/** Direct messages between made-up people with the texts at hand, in the records the server writes: one for the sender, one for the receiver. */
import { shardOf, userAddress, type UserAddress, type UserId } from "../../src/domain/address.ts";
import { payloadBytesMax, writeSent, writeTaken } from "../../src/domain/entries.ts";
import type { LogStore } from "../../storage/log-store.ts";
import type { ShardLog } from "../../storage/shard-log.ts";
import { StreamHandle, type Outcome } from "../../storage/staged-record.ts";
import type { Seq, StreamHead } from "../../storage/types.ts";
import { seededRandom } from "./measure.ts";

/** Nobody waits for it. */
const UNHEARD: Outcome = { committed() {}, failed() {} };

export type ChatOptions = {
  lines: string[];
  users: number;
  /** Users live on so many shards. */
  shards: number;
  /** People each user talks to. */
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

  /** Heads of all streams that are there, as of the records that are durable. */
  heads(): [stream: string, head: StreamHead][] {
    return this.#people.flatMap(({ address, log }) => {
      const head = log.head(address);
      return head === undefined ? [] : [[address, { streamNo: head.streamNo, headSeq: head.headSeq }]];
    });
  }

  /** Appends one message; `outcome` hears of the receiver's record, the last of the two. */
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

  #append(sender: Person, receiver: Person, text: string, outcome: Outcome | undefined): void {
    const { log } = sender;
    const fromSeq = ++sender.seq as Seq;
    const encode = (): void => {
      log.beginEntry(sender.handle, receiver.address, `d7k2-${++sender.sent}`, fromSeq, payloadBytesMax(text));
      writeSent(log.writer, this.#now, text);
      log.endEntry();
    };
    log.append({ encode, ...UNHEARD });
    this.#appendTaken(sender, receiver, fromSeq, text, outcome ?? UNHEARD);
  }

  #appendTaken(sender: Person, receiver: Person, fromSeq: Seq, text: string, outcome: Outcome): void {
    const { log } = receiver;
    const encode = (): void => {
      log.beginEntry(receiver.handle, sender.address, "", ++receiver.seq as Seq, payloadBytesMax(text));
      writeTaken(log.writer, this.#now, fromSeq, sender.handle.streamNo, receiver.seq, text);
      log.endEntry();
    };
    log.append({ encode, committed: () => outcome.committed(), failed: (error) => outcome.failed(error) });
  }
}
