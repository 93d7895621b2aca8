/**
 * What G2 says of every ref, and shards that are held against it: sends, repeats, clocks that are set, starts, crashes,
 * users dropped from memory.
 */
import { expect } from "bun:test";
import { userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import type { Random } from "../support/random.ts";
import { RestartedShards } from "./restarted-shards.ts";

export const USERS = ["ann", "ben"] as UserId[];
/** Who is loaded to make room for nobody else. */
const GUESTS = ["guest1", "guest2"] as UserId[];
export const CLUB = "#club" as GroupAddress;
const HELD_MS = 60_000;
/** Users that stay in memory while nobody uses them. */
const LOADED_MAX = 0;

type First = { to: Address; text: string; id: string; seq: number; atMs: number };

export class RefsModel {
  readonly shards = new RestartedShards(LOADED_MAX);
  readonly #first = new Map<string, First>();
  #burst = 0;

  begin(): Promise<void> {
    return this.shards.begin(USERS, CLUB, GUESTS);
  }

  /** Sends `ref`; a repeat that G2 does not speak of (unmarked, of an older message) is marked instead. */
  async send(from: UserId, to: Address, ref: string, text: string, retry: boolean): Promise<void> {
    const first = this.#first.get(`${from} ${ref}`);
    const isOld = first !== undefined && this.shards.passedMs - first.atMs > HELD_MS;
    const { sent, isDuplicate, code } = await this.shards.send(from, { to, text, ref, retry: retry || isOld });
    if (first === undefined) {
      expect([code, isDuplicate]).toEqual([undefined, false]);
      this.#first.set(`${from} ${ref}`, { to, text, id: sent!.id, seq: sent!.seq, atMs: this.shards.passedMs });
    } else if (first.to !== to || first.text !== text) expect(code).toBe("ref_conflict");
    else expect([sent?.id, sent?.seq as number, isDuplicate]).toEqual([first.id, first.seq, true]);
  }

  /**
   * Sends `ref`, then at once many refs with a prefix of their own each, which may be more than memory holds, then
   * `ref` again.
   */
  async burst(from: UserId, to: Address, ref: string, count: number): Promise<void> {
    const first = this.#first.get(`${from} ${ref}`) ?? { to, text: "hello" };
    await this.send(from, first.to, ref, first.text, false);
    const name = ++this.#burst;
    const refs = Array.from({ length: count }, (_, n) => `${name}/${n}${n % 2 === 0 ? "/0" : "x"}`);
    await Promise.all(refs.map((one) => this.send(from, to, one, "burst", false)));
    await this.send(from, first.to, ref, first.text, false);
  }

  /** Loads somebody else, so that all whom nobody needs now are dropped. */
  async evict(): Promise<void> {
    const { users } = this.shards.host;
    await this.shards.flush();
    // So that what the user may send is what it was before the first message.
    this.shards.passedMs += 10;
    users.get(GUESTS.find((guest) => users.peek(guest) === undefined)!);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(USERS.filter((user) => users.peek(user) !== undefined)).toEqual([]);
  }

  crash(random: Random): Promise<void> {
    return this.shards.crash(random);
  }

  /** Every message is stored once. */
  expectStored(): void {
    const found = new Map<string, number>();
    for (const user of USERS) {
      const { log, address } = this.shards.host.users.get(user)!;
      for (const { key } of log.readForward(address, 0 as never, 100_000))
        if (key !== "") found.set(`${user} ${key}`, (found.get(`${user} ${key}`) ?? 0) + 1);
    }
    for (const { key } of this.shards.host.log(CLUB).readForward(CLUB, 0 as never, 100_000)) {
      const [user, ...ref] = key.split("/");
      if (key !== "") found.set(`${user} ${ref.join("/")}`, (found.get(`${user} ${ref.join("/")}`) ?? 0) + 1);
    }
    expect(found).toEqual(new Map([...this.#first.keys()].map((name) => [name, 1])));
  }

  /** The addresses that one may write to. */
  static address(n: number): Address {
    return n >= USERS.length ? CLUB : userAddress(USERS[n]!);
  }
}
