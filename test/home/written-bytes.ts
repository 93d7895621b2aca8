/** People who write texts of many lengths, and what each of them stores: as the server counts it, and as the logs have it. */
import { expect } from "bun:test";
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { POSTED_LANE, readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import type { Limits } from "../../src/protocol/frames.ts";
import { nextTurn } from "../../src/base/steps.ts";
import { CellReader, encodeCell } from "../../src/home/state/cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { eraseRequested, finishErasure, requestErasure } from "../../src/home/erasing/erase-user.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import type { ShardHost } from "../../src/node/shard-host.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { GROUPS, PEOPLE, Talk } from "./talk.ts";
import type { Answer } from "./restarted-shards.ts";

const NEVER = (): boolean => false;
const EVERYTHING = 1_000_000;
/** One, two, three and four bytes of UTF-8. */
const CHARACTERS = ["a", "é", "語", "🦜"];

export class WrittenBytes {
  /** Read at each start. */
  readonly limits: Partial<Limits>;
  readonly talk: Talk;
  #refs = 0;

  constructor(limits: Partial<Limits> = {}) {
    this.limits = limits;
    this.talk = new Talk(limits);
  }

  get host(): ShardHost {
    return this.talk.host;
  }

  begin(): Promise<void> {
    return this.talk.begin();
  }

  user(name: UserId): UserState {
    return this.host.users.get(name)!;
  }

  /** All at once. */
  write(from: UserId, to: Address, texts: readonly string[]): Promise<Answer[]> {
    this.talk.shards.wallMs += 1000;
    return Promise.all(
      texts.map((text) => this.talk.shards.send(from, { to, text, ref: `r-${++this.#refs}`, retry: false })),
    );
  }

  /** Texts of as many characters as the lengths say. */
  texts(lengths: readonly number[]): string[] {
    return lengths.map((length) => CHARACTERS[length % CHARACTERS.length]!.repeat(length));
  }

  async erase(user: UserId): Promise<void> {
    await requestErasure(this.host.home(user), user);
    await eraseRequested(this.host.home(user), user, { isStopped: NEVER, tidy: async () => {} });
    await finishErasure(this.host.home(user), user);
  }

  /** What was written before the last so many seconds goes. */
  async keep(seconds: number): Promise<void> {
    const from = this.talk.shards.wallMs - seconds * 1000;
    for (const of of [...PEOPLE.map(userAddress), ...GROUPS]) await eraseBefore(this.host.ownerOf(of), of, from, NEVER);
  }

  /** The cells of the user's timeline are as a version wrote them that did not count. */
  async asBefore(name: UserId): Promise<void> {
    await this.talk.shards.restart();
    const { log, handle, address } = this.user(name);
    const head = new CellReader(log.cell(address, "head"));
    await writeRecord(log, () => log.putCell(handle, "head", encodeCell(head.number(), head.number())));
    await this.talk.shards.restart();
  }

  /** No shard is being flushed. */
  async flushed(): Promise<void> {
    while ([...this.host.store.opened()].some(({ isFlushing }) => isFlushing)) await nextTurn();
  }

  /** Begins to find out what the user stores. */
  count(name: UserId): void {
    this.host.storedCounts.begin(this.host.home(name), this.user(name));
  }

  /** As the server knows it, counted first if it does not. */
  async counted(name: UserId): Promise<number | undefined> {
    if (this.user(name).storedBytes === undefined) this.count(name);
    await this.host.storedCounts.idle();
    await this.host.store.idle();
    return this.user(name).storedBytes;
  }

  /** From the entries alone. */
  inLogs(name: UserId): number {
    const address = userAddress(name);
    let bytes = 0;
    for (const stored of this.host.log(address).readForward(address, 0 as Seq, EVERYTHING)) {
      const entry = readTimelineEntry(stored);
      if (entry.kind === "sent") bytes += Buffer.byteLength(entry.text);
    }
    for (const group of GROUPS) bytes += this.#postedIn(group, name);
    return bytes;
  }

  async expectAll(): Promise<void> {
    for (const name of PEOPLE) expect([name, await this.counted(name)]).toEqual([name, this.inLogs(name)]);
  }

  mayWrite(from: UserId, to: Address): boolean {
    return !isGroup(to) || this.talk.mayWrite(from, to);
  }

  #postedIn(group: GroupAddress, author: UserId): number {
    let bytes = 0;
    for (const stored of this.host.log(group).readLaneForward(group, POSTED_LANE, 0 as Seq, EVERYTHING)) {
      const entry = readGroupEntry(stored);
      if (entry.kind === "posted" && entry.author === author) bytes += Buffer.byteLength(entry.text);
    }
    return bytes;
  }
}
