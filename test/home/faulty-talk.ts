/** People who talk while what crosses between their shards is lost, repeated, late and out of order, and while everything is killed and started again. */
import { expect } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { nextTurn } from "../../src/base/steps.ts";
import { shardOf, userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { postedKey, POSTED_LANE, readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { HandoffProgress } from "../../src/home/handoffs/handoffs.ts";
import type { Sent } from "../../src/home/sending/pending-send.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import { FaultyRouter } from "../support/faulty-router.ts";
import { FaultyWire, type Faults } from "../support/faulty-wire.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { ID_KEY, RestartedShards } from "./restarted-shards.ts";

export const PEOPLE = ["ann", "ben", "cat", "dan"] as UserId[];
export const CLUB = "#club" as GroupAddress;
export const ADDRESSES: readonly Address[] = [...PEOPLE.map(userAddress), CLUB];
const TURN_MS = 5;
const SETTLE_TURNS_MAX = 5000;
const USERS_LOADED_MAX = 2;

/** What somebody wants to be sent, until it is answered with `sent`. */
type Wish = {
  readonly from: UserId;
  readonly to: Address;
  readonly ref: string;
  readonly text: string;
  sent?: Pick<Sent, "id" | "seq" | "sentAt" | "text">;
  /** It was refused once, for the moment: what was sent behind it may have overtaken it. */
  wasRefused?: true;
};

export class FaultyTalk {
  readonly random: Random;
  readonly wire: FaultyWire;
  readonly shards: RestartedShards;
  readonly wishes: Wish[] = [];
  readonly #router: FaultyRouter;
  #refs = 0;
  #life = 0;

  constructor(seed: number, faults: Partial<Faults> = {}) {
    this.random = randomFrom(seed);
    this.wire = new FaultyWire(this.random, (run) => void setImmediate(run), faults);
    const ids = new MessageIds(ID_KEY);
    this.#router = new FaultyRouter(this.wire, () => ids);
    this.shards = new RestartedShards(USERS_LOADED_MAX, {}, this.#router.around);
  }

  async begin(): Promise<void> {
    this.wire.isCalm = true;
    await this.shards.begin(PEOPLE, CLUB);
    await this.settle();
    this.wire.isCalm = false;
  }

  say(from: UserId, to: Address): void {
    const ref = `${from}-${++this.#refs}`;
    const wish: Wish = { from, to, ref, text: `${from} to ${to}, ${ref}` };
    this.wishes.push(wish);
    this.#send(wish, false);
  }

  /** Sends again what has no answer, as a client does that has come back: oldest first. */
  sayAgain(): void {
    for (const wish of this.wishes) if (wish.sent === undefined) this.#send(wish, true);
  }

  /** So many turns of the event loop. */
  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) {
      this.shards.passedMs += TURN_MS;
      await nextTurn();
    }
  }

  async crash(): Promise<void> {
    this.#life++;
    this.#router.down();
    await this.shards.crash(this.random);
    this.sayAgain();
  }

  async restart(): Promise<void> {
    this.#life++;
    await this.shards.restart();
    this.sayAgain();
  }

  /** No more faults: everything that is owed comes to its end. */
  async settle(): Promise<void> {
    this.wire.isCalm = true;
    for (let turn = 0; !this.#isSettled; turn++) {
      if (turn > SETTLE_TURNS_MAX) throw new Error(`it does not settle: ${this.#open()}`);
      if (turn % 20 === 0) this.sayAgain();
      this.shards.host.lookForHandoffs();
      this.shards.passedMs += 200;
      await nextTurn();
    }
    await this.shards.host.store.idle();
  }

  get #isSettled(): boolean {
    return (
      this.wire.isIdle &&
      this.wishes.every(({ sent }) => sent !== undefined) &&
      this.#ledgers().every(({ isEmpty }) => isEmpty)
    );
  }

  #ledgers() {
    return [...this.shards.host.shards()].map(({ ledger }) => ledger);
  }

  #open(): string {
    const wished = this.wishes.filter(({ sent }) => sent === undefined).map(({ ref }) => ref);
    const ledgers = this.#ledgers().filter(({ isEmpty }) => !isEmpty);
    return `${wished.length} without an answer (${wished.slice(0, 5).join(", ")}), ${ledgers.length} shards with handoffs, idle ${this.wire.isIdle}`;
  }

  #send(wish: Wish, retry: boolean): void {
    const life = this.#life;
    const { from, to, ref, text } = wish;
    void this.shards.send(from, { ref, to, text, retry }).then(({ sent, code }) => {
      // Who is dead tells nobody anything.
      if (life !== this.#life) return;
      if (sent === undefined) {
        if (code !== "unavailable") throw new Error(`${ref} was refused: ${code}`);
        wish.wasRefused = true;
        return;
      }
      const { id, seq, sentAt, text: said } = sent;
      // One that was erased meanwhile.
      if (wish.sent !== undefined && said === undefined)
        return expect([id, seq]).toEqual([wish.sent.id, wish.sent.seq]);
      if (wish.sent !== undefined) expect({ id, seq, sentAt, text: said }).toEqual(wish.sent);
      wish.sent = { id, seq, sentAt, text: said };
    });
  }

  /** After `settle`. */
  expectDelivered(): void {
    for (const from of PEOPLE) {
      const timeline = this.#timeline(from);
      expect(timeline.map(({ seq }) => seq as number)).toEqual(timeline.map((_, index) => index + 1));
      for (const to of PEOPLE) if (to !== from) expect(this.#taken(from, to)).toEqual(this.#sent(from, to));
      for (const to of ADDRESSES) this.#expectSaid(from, to);
    }
    const log = this.#timeline(CLUB);
    expect(log.map(({ seq }) => seq as number)).toEqual(log.map((_, index) => index + 1));
    const posted = log.filter(({ lane }) => lane === POSTED_LANE);
    expect(posted.length).toBe(this.wishes.filter(({ to }) => to === CLUB).length);
  }

  /** Each stands where its sender was told, and in the order in which it was said. */
  #expectSaid(from: UserId, to: Address): void {
    const stream = this.#timeline(to === CLUB ? CLUB : from);
    const wishes = this.wishes.filter((one) => one.from === from && one.to === to);
    for (const { sent, ref, text } of wishes) {
      const stored = stream[sent!.seq - 1]!;
      const entry = to === CLUB ? readGroupEntry(stored) : readTimelineEntry(stored);
      const key = to === CLUB ? postedKey(from, ref) : ref;
      expect([stored.key, entry]).toMatchObject([key, { kind: to === CLUB ? "posted" : "sent", text }]);
    }
    const inOrder = wishes.filter(({ wasRefused }) => wasRefused !== true).map(({ sent }) => sent!.seq as number);
    expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b));
  }

  /** The marks reach the end of each log: a start offers nothing. */
  async expectNothingOwed(): Promise<void> {
    const { host } = this.shards;
    const logger = createLogger(
      "error",
      (line) => {
        throw new Error(line);
      },
      () => 0,
    );
    new HandoffProgress(logger).write(host.shards());
    await host.store.idle();
    for (const { ledger, log } of host.shards()) expect(ledger.through(log.durableThrough)).toBe(log.durableThrough);
    await this.crash();
    expect(await this.shards.host.offerAll()).toBe(0);
  }

  #timeline(of: UserId | GroupAddress): StoredEntry[] {
    const address = of === CLUB ? CLUB : userAddress(of as UserId);
    const { log } = this.shards.host.shard(shardOf(address));
    const found: StoredEntry[] = [];
    for (let after = 0 as Seq; ;) {
      const page = log.readForward(address, after, 500);
      found.push(...page);
      if (page.length < 500) return found;
      after = page.at(-1)!.seq;
    }
  }

  #sent(from: UserId, to: UserId): unknown[] {
    return this.#timeline(from).flatMap((stored) => {
      const entry = readTimelineEntry(stored);
      if (entry.kind !== "sent" || stored.lane !== userAddress(to)) return [];
      return [{ seq: stored.seq, text: entry.text, sentAt: entry.sentAt }];
    });
  }

  #taken(from: UserId, to: UserId): unknown[] {
    return this.#timeline(to).flatMap((stored) => {
      const entry = readTimelineEntry(stored);
      if (entry.kind !== "taken" || stored.lane !== userAddress(from)) return [];
      return [{ seq: entry.fromSeq, text: entry.text, sentAt: entry.sentAt }];
    });
  }
}
