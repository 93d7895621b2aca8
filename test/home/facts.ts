/**
 * What logs say, and every number that is derived from it, worked out anew from the entries alone: slowly, and with
 * nothing of the server's own state. What was erased is remembered from before: only the numbers that it was part of
 * may still know of it.
 */
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import type { GroupRole } from "../../src/protocol/frames.ts";
import type { ShardHost } from "../../src/node/shard-host.ts";
import type { Seq } from "../../storage/types.ts";

type Direct = { kind: "direct"; seq: number; lane: Address; isOwn: boolean; fromSeq: number; isGone: boolean };
type Membership = { kind: "membership"; seq: number; lane: Address; isIn: boolean; groupSeq: number };
type Posted = { kind: "posted"; seq: number; author: UserId; isGone: boolean };
type Changed = { kind: "changed"; seq: number; apply: (group: GroupFacts) => void };

export type GroupFacts = {
  name: string;
  members: Map<UserId, { role: GroupRole; joinedSeq: number }>;
  isDissolved: boolean;
};

/** Without name and messages. */
export type Numbers = {
  unread: number;
  lastSeq: number;
  readThrough: number;
  deliveredThrough: number;
  ownReadThrough: number;
};

const UNREAD_MAX = 100;

export class Facts {
  readonly #timelines = new Map<UserId, (Direct | Membership)[]>();
  readonly #groups = new Map<GroupAddress, (Posted | Changed)[]>();
  /** What was said of marks: by who said it and where; `peer` marks by whose messages they concern. */
  readonly #said = new Map<string, number>();
  readonly #bornSeqs = new Map<GroupAddress, number>();
  readonly #receiptsMembersMax: number;

  constructor(users: readonly UserId[], groups: readonly GroupAddress[], receiptsMembersMax: number) {
    for (const user of users) this.#timelines.set(user, []);
    for (const group of groups) this.#groups.set(group, []);
    this.#receiptsMembersMax = receiptsMembersMax;
  }

  /** Reads what is new in the logs, and what has gone. */
  learn(host: ShardHost): void {
    for (const [user, known] of this.#timelines) {
      for (const stored of host.log(userAddress(user)).readForward(userAddress(user), 0 as Seq, 1_000_000)) {
        const entry = readTimelineEntry(stored);
        const lane = stored.lane as Address;
        const { seq } = stored;
        const before = known[seq - 1];
        if (entry.kind === "erased" && before?.kind === "direct") before.isGone = true;
        if (before !== undefined || entry.kind === "erased") continue;
        if (entry.kind === "membership")
          known.push({ kind: "membership", seq, lane, isIn: entry.change === "joined", groupSeq: entry.groupSeq });
        else {
          const fromSeq = entry.kind === "taken" ? entry.fromSeq : 0;
          known.push({ kind: "direct", seq, lane, isOwn: entry.kind === "sent", fromSeq, isGone: false });
        }
      }
    }
    for (const [address, known] of this.#groups) {
      for (const stored of host.log(address).readForward(address, 0 as Seq, 1_000_000)) {
        const entry = readGroupEntry(stored);
        const { seq } = stored;
        const before = known[seq - 1];
        if (entry.kind === "erased" && before?.kind === "posted") before.isGone = true;
        if (before !== undefined || entry.kind === "erased") continue;
        if (entry.kind === "posted") known.push({ kind: "posted", seq, author: entry.author, isGone: false });
        else {
          known.push({ kind: "changed", seq, apply: (group) => change(group, entry.detail, seq) });
          if (entry.detail.change === "created") this.#begin(address, seq);
        }
      }
    }
  }

  head(of: UserId | GroupAddress): number {
    return (this.#timelines.get(of as UserId) ?? this.#groups.get(of as GroupAddress) ?? []).length;
  }

  group(address: GroupAddress): GroupFacts {
    const group: GroupFacts = { name: "", members: new Map(), isDissolved: false };
    for (const entry of this.#groups.get(address)!) if (entry.kind === "changed") entry.apply(group);
    return group;
  }

  /** Conversations that belong in the list. */
  listed(user: UserId): Address[] {
    const timeline = this.#timelines.get(user)!;
    const direct = timeline.filter(({ kind }) => kind === "direct").map(({ lane }) => lane);
    const groups = [...this.#groups.keys()].filter((address) => this.group(address).members.has(user));
    return [...new Set([...direct, ...groups])];
  }

  /** The membership entries of the timeline, which are to say the same as the group's log. */
  joinedSeq(user: UserId, group: GroupAddress): number {
    const last = this.#timelines.get(user)!.findLast((entry) => entry.kind === "membership" && entry.lane === group);
    return last?.kind === "membership" && last.isIn ? last.groupSeq : 0;
  }

  // ---- marks, when they are said

  received(user: UserId, seq: number): void {
    const before = this.#mark(`received ${user}`, seq);
    if (seq <= before) return;
    for (const lane of new Set(this.#timelines.get(user)!.map((entry) => entry.lane))) {
      const newest = this.#newestTaken(user, lane, before, seq);
      if (newest !== undefined) this.#mark(`delivered ${lane.slice(1)} ${userAddress(user)}`, newest.fromSeq);
    }
  }

  read(user: UserId, address: Address, seq: number): void {
    if (isGroup(address)) {
      this.#mark(`read ${user} ${address}`, seq);
      return this.#inGroup("seen", user, address, seq);
    }
    const through = Math.min(seq, this.#lane(user, address).at(-1)?.seq ?? 0);
    const before = this.#mark(`read ${user} ${address}`, through);
    const newest = this.#newestTaken(user, address, before, through);
    // Of what was erased nothing is told.
    if (newest !== undefined && !newest.isGone)
      this.#mark(`seen ${address.slice(1)} ${userAddress(user)}`, newest.fromSeq);
  }

  receivedIn(user: UserId, group: GroupAddress, seq: number): void {
    this.#inGroup("delivered", user, group, seq);
  }

  // ---- numbers

  numbers(user: UserId, address: Address): Numbers {
    return isGroup(address) ? this.#numbersInGroup(user, address) : this.#numbersOf(user, address);
  }

  #numbersOf(user: UserId, address: Address): Numbers {
    const lane = this.#lane(user, address);
    const read = this.#saidBy(`read ${user} ${address}`);
    return {
      unread: lane.filter(({ isOwn, isGone, seq }) => !isOwn && !isGone && seq > read).length,
      lastSeq: lane.at(-1)?.seq ?? 0,
      readThrough: this.#saidBy(`seen ${user} ${address}`),
      deliveredThrough: this.#saidBy(`delivered ${user} ${address}`),
      ownReadThrough: read,
    };
  }

  #numbersInGroup(user: UserId, address: GroupAddress): Numbers {
    const { members } = this.group(address);
    const read = this.#saidBy(`read ${user} ${address}`);
    const from = Math.max(read, members.get(user)?.joinedSeq ?? 0);
    const unread = this.#groups
      .get(address)!
      .filter((entry) => entry.kind === "posted" && entry.author !== user && !entry.isGone && entry.seq > from);
    const others = members.size > this.#receiptsMembersMax ? [] : [...members.keys()].filter((one) => one !== user);
    const farthest = (kind: string): number =>
      Math.max(0, ...others.map((one) => this.#saidBy(`${kind} in ${address} ${one}`)));
    return {
      unread: Math.min(unread.length, UNREAD_MAX),
      lastSeq: this.head(address),
      readThrough: farthest("seen"),
      deliveredThrough: farthest("delivered"),
      ownReadThrough: read,
    };
  }

  /** Another group under that id: of the former one no marks of members are left. */
  #begin(address: GroupAddress, bornSeq: number): void {
    this.#bornSeqs.set(address, bornSeq);
    for (const user of this.#timelines.keys())
      for (const kind of ["seen", "delivered"]) this.#said.delete(`${kind} in ${address} ${user}`);
  }

  #inGroup(kind: "seen" | "delivered", user: UserId, address: GroupAddress, seq: number): void {
    if (seq < this.#bornSeqs.get(address)!) return;
    if (this.group(address).members.size <= this.#receiptsMembersMax) this.#mark(`${kind} in ${address} ${user}`, seq);
  }

  #lane(user: UserId, address: Address): Direct[] {
    const timeline = this.#timelines.get(user)!;
    return timeline.filter((entry): entry is Direct => entry.kind === "direct" && entry.lane === address);
  }

  #newestTaken(user: UserId, address: Address, after: number, through: number): Direct | undefined {
    return this.#lane(user, address).findLast(({ isOwn, seq }) => !isOwn && seq > after && seq <= through);
  }

  #saidBy(key: string): number {
    return this.#said.get(key) ?? 0;
  }

  /** Marks only rise. @returns what it was before */
  #mark(key: string, seq: number): number {
    const before = this.#saidBy(key);
    this.#said.set(key, Math.max(before, seq));
    return before;
  }
}

type Detail = Extract<ReturnType<typeof readGroupEntry>, { kind: "changed" }>["detail"];

function change(group: GroupFacts, { change, user, role, name, members, by }: Detail, seq: number): void {
  if (name !== undefined) group.name = name;
  if (change === "created") group.isDissolved = false;
  if (change === "created")
    for (const member of members!)
      group.members.set(member, { role: member === by ? "admin" : "member", joinedSeq: seq });
  if (change === "joined") group.members.set(user!, { role: role ?? "member", joinedSeq: seq });
  if (change === "role") group.members.get(user!)!.role = role!;
  if (change === "left") group.members.delete(user!);
  if (change === "dissolved") {
    group.members.clear();
    group.isDissolved = true;
  }
}
