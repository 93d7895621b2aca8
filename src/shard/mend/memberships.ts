/**
 * Lets a group and its members say the same again. A membership stands in two logs: in the group's, and in the timeline
 * of the member. Both are in one frame of the log, so they agree unless one of them is lost.
 *
 *     member's timeline is whole     it is right
 *     the group's log is whole       it is right
 *     both have lost something       out: nobody reads a group that they were perhaps removed from
 *
 * What is written are ordinary changes, with the seqs that come next.
 */
import { isGroup, nameOf, userAddress, type GroupAddress, type UserId } from "../../domain/address.ts";
import { CHANGED_LANE, readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { isDamage } from "../damage.ts";
import { changeGroup, joinedBy, leftBy, takeMembership } from "../group-changes.ts";
import type { GroupState } from "../group-state.ts";
import type { ShardHost } from "../shard-host.ts";
import type { UserState } from "../user-state.ts";
import type { Losses } from "./losses.ts";
import type { MendNote } from "./notes.ts";
import type { Membership, Survey } from "./survey.ts";

const PAGE = 1000;

type Said = { seq: Seq; isIn: boolean; detail: GroupChangeDetail };

export class MembershipMender {
  readonly #host: ShardHost;
  readonly #losses: Losses;
  readonly #at: number;
  readonly notes: MendNote[] = [];

  /** @param at Unix ms, shown to people */
  constructor(host: ShardHost, losses: Losses, at: number) {
    this.#host = host;
    this.#losses = losses;
    this.#at = at;
  }

  async run({ known, memberships }: Survey): Promise<void> {
    for (const address of known.keys()) {
      if (isGroup(address) && this.#losses.isHurt(address)) await this.#unlessDamaged(() => this.#agree(address));
    }
    // Who was in it first is first: they lead a group that has lost its admins.
    const inOrder = [...memberships.values()].toSorted((a, b) => a.joinedSeq - b.joinedSeq);
    for (const membership of inOrder) await this.#unlessDamaged(() => this.#reconcile(membership));
    const groups = new Set([...inOrder.map(({ group }) => group), ...[...known.keys()].filter(isGroup)]);
    for (const address of groups) await this.#unlessDamaged(() => this.#lead(address));
  }

  /** Where one of them is in a shard that stays closed nothing can be said. */
  async #unlessDamaged(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }

  #note({ log, address }: GroupState, what: string): void {
    this.notes.push({ shard: log.shard, stream: address, kind: "membership", what });
  }

  /** Its members, as cells have them, with what its own entries say. */
  async #agree(address: GroupAddress): Promise<void> {
    const group = this.#host.groups.get(address)!;
    const said = saidOf(group);
    if (said.dissolved !== undefined && !group.isDissolved) {
      const members = [...group.members.keys()];
      await this.#change(group, { ...said.dissolved, members });
      return this.#note(group, "had been dissolved");
    }
    for (const [user, { joinedSeq }] of [...group.members]) {
      const last = said.members.get(user);
      if (last === undefined || last.isIn || last.seq < joinedSeq) continue;
      await this.#change(group, { change: "left", by: last.detail.by, at: this.#at, user });
      this.#note(group, `@${user} had left`);
    }
  }

  async #reconcile({ user: name, group: address }: Membership): Promise<void> {
    const user = this.#host.users.get(name);
    const group = this.#host.groups.get(address);
    if (user === undefined || group === undefined) return;
    const isInGroup = group.members.has(name);
    const isInUser = user.membership(address) !== undefined;
    const isUserHurt = this.#losses.isHurt(user.address);
    const isGroupHurt = this.#losses.isHurt(address);
    if (isInGroup === isInUser || (!isUserHurt && !isGroupHurt)) return;
    const isIn = !group.isDissolved && (isUserHurt ? !isGroupHurt && isInGroup : isInUser);
    if (isInGroup !== isIn) await this.#putRight(group, name, isIn);
    else await this.#tell(user, group, isIn);
  }

  /** The group is wrong. Whoever is in gets a second entry, behind the one that they have. */
  async #putRight(group: GroupState, user: UserId, isIn: boolean): Promise<void> {
    const by = isIn ? user : (adminBeside(group, user) ?? user);
    await this.#change(
      group,
      isIn ? { change: "joined", by, at: this.#at, user, role: "member" } : { change: "left", by, at: this.#at, user },
    );
    this.#note(
      group,
      isIn ? `@${user} is in it, as their timeline says` : `@${user} is out of it; an admin can put them in`,
    );
  }

  /** The user's timeline is wrong: it gets the entry that it lost. */
  async #tell(user: UserState, group: GroupState, isIn: boolean): Promise<void> {
    const last = saidOf(group).members.get(user.user);
    const taken = user.conversation(group.address).takenThroughPending;
    const seq = last !== undefined && last.isIn === isIn && last.seq > taken ? last.seq : group.headSeq;
    const detail = last?.detail ?? { change: "left", by: user.user, at: this.#at };
    takeMembership(user, isIn ? "joined" : "left", group.address, seq, detail, group.epoch);
    await this.#host.store.idle();
    const isTold = (user.membership(group.address) !== undefined) === isIn;
    const what = `@${user.user} is ${isIn ? "in" : "out of"} it, as the group's log says`;
    this.#note(group, isTold ? what : `${what}, and their timeline says otherwise`);
  }

  /** A group that has lost its last admin is led by who has been in it longest, and has its id for a name that it lost. */
  async #lead(address: GroupAddress): Promise<void> {
    const group = this.#host.groups.get(address);
    if (group === undefined || group.isDissolved || !this.#losses.isHurt(address)) return;
    const [first] = [...group.members].toSorted(([, a], [, b]) => a.joinedSeq - b.joinedSeq);
    if (first === undefined) return;
    const [user] = first;
    if (![...group.members.values()].some(({ role }) => role === "admin")) {
      await this.#change(group, { change: "role", by: user, at: this.#at, user, role: "admin" });
      this.#note(group, `lost its admins; @${user}, who has been in it longest, is one now`);
    }
    if (group.name !== "") return;
    await this.#change(group, { change: "renamed", by: user, at: this.#at, name: nameOf(address) });
    this.#note(group, "lost its name, and has its id in place of it");
  }

  /** With everybody loaded whom it concerns: those who live in shards that stay closed throw. */
  async #change(group: GroupState, detail: GroupChangeDetail): Promise<void> {
    for (const user of [...joinedBy(detail), ...leftBy(detail)]) this.#host.userAt(userAddress(user));
    await changeGroup(this.#host, group, detail);
  }
}

function adminBeside({ members }: GroupState, user: UserId): UserId | undefined {
  for (const [member, { role }] of members) if (member !== user && role === "admin") return member;
  return undefined;
}

/** What the entries of a group say last of each member, and whether it was dissolved. */
function saidOf({ log, address }: GroupState): {
  members: Map<UserId, Said>;
  dissolved: GroupChangeDetail | undefined;
} {
  const members = new Map<UserId, Said>();
  let dissolved: GroupChangeDetail | undefined;
  for (let after = 0 as Seq; ;) {
    const page = log.readLaneForward(address, CHANGED_LANE, after, PAGE);
    for (const stored of page) {
      const entry = readGroupEntry(stored);
      if (entry.kind !== "changed") continue;
      const { detail } = entry;
      for (const user of joinedBy(detail)) members.set(user, { seq: stored.seq, isIn: true, detail });
      for (const user of leftBy(detail)) members.set(user, { seq: stored.seq, isIn: false, detail });
      if (detail.change === "dissolved") dissolved = detail;
    }
    if (page.length < PAGE) return { members, dissolved };
    after = page.at(-1)!.seq;
  }
}
