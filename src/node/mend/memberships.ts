/**
 * Makes groups and their members agree again. A membership is stored in two logs: in the group's, and in the member's
 * timeline. Where neither has lost anything, they agree once all handoffs have arrived (membership-handoffs.ts).
 *
 *     the member's timeline is whole   it is right
 *     the group's log is whole         it is right
 *     both have lost something         the user is out, since they may have been removed
 *
 * Nobody is shown more than they may have seen before. If the end of a group's log is lost, the group may have been
 * dissolved and its id used again after that point. Then users who joined after it begin a new group of that id, unless
 * a member of the old group is still in it.
 *
 * The corrections are written as ordinary changes, with the next seqs.
 */
import { randomName, type Random } from "../../base/random.ts";
import { isGroup, nameOf, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import { readGroupEntry, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { isDamage } from "../../home/damage.ts";
import { writeRecord } from "../../home/durable.ts";
import { changeGroup, createGroup } from "../../home/groups/group-changes.ts";
import type { GroupState } from "../../home/state/group-state.ts";
import type { HandoffOutcome } from "../../home/messages/handoff.ts";
import type { ShardHost } from "../shard-host.ts";
import { takeMembership } from "../../home/handoffs/take-membership.ts";
import type { UserState } from "../../home/state/user-state.ts";
import type { Losses } from "./losses.ts";
import type { MendNote } from "./notes.ts";
import { saidOf } from "./said.ts";
import { EPOCH_CHARACTERS } from "./streams.ts";
import type { Membership, Survey } from "./survey.ts";

/** `at`: Unix ms; clients show it. */
export type MembershipParts = { host: ShardHost; losses: Losses; random: Random; at: number };

/** For a membership that no group's shard hands off. */
const UNHEARD: HandoffOutcome = { confirmed() {}, missing() {}, notTaken() {} };

export class MembershipMender {
  readonly #parts: MembershipParts;
  readonly notes: MendNote[] = [];

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** @param ends last positions of streams of doubtful shards, before their positions were raised */
  async run({ known, memberships }: Survey, ends: ReadonlyMap<Address, number>): Promise<void> {
    // In the order in which they joined: the first becomes admin of a group that has lost its admins.
    const inOrder = [...memberships.values()].toSorted((a, b) => a.joinedSeq - b.joinedSeq);
    const ofGroup = Map.groupBy(inOrder, ({ group }) => group);
    for (const group of new Set([...ofGroup.keys(), ...[...known.keys()].filter(isGroup)])) {
      const members = new Set((ofGroup.get(group) ?? []).map(({ user }: Membership) => user));
      await this.#unlessDamaged(() => this.#mend(group, [...members], ends.get(group) ?? 0));
    }
  }

  /** If one of them is in a shard that stays closed, nothing can be decided. */
  async #unlessDamaged(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }

  async #mend(address: GroupAddress, members: readonly UserId[], end: number): Promise<void> {
    const { host, losses } = this.#parts;
    const isHurt = losses.isHurt(address);
    if (isHurt) await this.#agree(address);
    const group = host.ownerOf(address).groups.get(address);
    if (group === undefined) return;
    const added: UserState[] = [];
    for (const name of members)
      await this.#unlessDamaged(async () => {
        const user = host.home(name).users.get(name);
        if (user !== undefined && (await this.#reconcile(user, group))) added.push(user);
      });
    if (added.length > 0) {
      if (this.#isLifeLeft(group, members, end)) for (const { user } of added) await this.#put(group, user);
      else await this.#beginAgain(group, added);
    }
    if (isHurt && !group.isOver) await this.#lead(group);
  }

  #note({ log, address }: GroupState, what: string): void {
    this.notes.push({ shard: log.shard, stream: address, kind: "membership", what });
  }

  /** Makes the group's cells agree with its own entries. */
  async #agree(address: GroupAddress): Promise<void> {
    const { host, at } = this.#parts;
    let group = host.ownerOf(address).groups.get(address);
    if (group === undefined) return;
    const said = saidOf(group);
    if (said.bornSeq > group.bornSeq) group = await this.#bornAt(group, said.bornSeq as Seq);
    if (said.dissolved !== undefined && !group.isOver) {
      await this.#change(group, { ...said.dissolved, at, members: [...group.members.keys()] });
      return this.#note(group, "had been dissolved");
    }
    for (const [user, { joinedSeq }] of [...group.members]) {
      const last = said.members.get(user);
      if (joinedSeq >= group.bornSeq && (last === undefined || last.isIn || last.seq < joinedSeq)) continue;
      await this.#change(group, { change: "left", by: last?.detail.by ?? user, at, user });
      this.#note(group, `@${user} had left`);
    }
  }

  /** @returns whether the user must be added to a group that does not know of them */
  async #reconcile(user: UserState, group: GroupState): Promise<boolean> {
    const { losses, at } = this.#parts;
    const joinedSeq = user.membership(group.address)?.joinedSeq ?? 0;
    const [isInGroup, isInUser] = [group.members.has(user.user), joinedSeq > 0];
    const [isUserHurt, isGroupHurt] = [losses.isHurt(user.address), losses.isHurt(group.address)];
    if (isInGroup === isInUser || (!isUserHurt && !isGroupHurt)) return false;
    const isIn = isUserHurt ? !isGroupHurt && isInGroup : isInUser && joinedSeq >= group.bornSeq;
    if (isInUser && isIn) return true;
    if (isInGroup && !isIn) {
      const by = adminBeside(group, user.user) ?? user.user;
      await this.#change(group, { change: "left", by, at, user: user.user });
      this.#note(group, `${user.address} is no longer a member; an admin can add them`);
    } else await this.#tell(user, group, isIn);
    return false;
  }

  /**
   * Whether a member from before the end of the log is still in the group. Otherwise it may have been dissolved and
   * created anew after that point.
   */
  #isLifeLeft(group: GroupState, members: readonly UserId[], end: number): boolean {
    const { host, losses } = this.#parts;
    return members.some((name) => {
      const user = host.home(name).users.peek(name);
      const joinedSeq = user?.membership(group.address)?.joinedSeq ?? 0;
      if (user === undefined || joinedSeq < group.bornSeq || joinedSeq > end) return false;
      return !losses.isHurt(user.address) || group.members.get(name)?.joinedSeq === joinedSeq;
    });
  }

  /** The user gets a second entry, after the one they have. */
  async #put(group: GroupState, user: UserId): Promise<void> {
    await this.#change(group, { change: "joined", by: user, at: this.#parts.at, user, role: "member" });
    this.#note(group, `@${user} is a member, as their timeline says`);
  }

  async #beginAgain(group: GroupState, added: readonly UserState[]): Promise<void> {
    const { host, random, at } = this.#parts;
    const { address } = group;
    for (const user of [...group.members.keys()]) await this.#change(group, { change: "left", by: user, at, user });
    const members = added.map(({ user }) => user);
    const [by] = members;
    const detail: GroupChangeDetail = { change: "created", by: by!, at, name: nameOf(address), members };
    await createGroup(host.ownerOf(group.address), address, randomName(random, EPOCH_CHARACTERS), detail);
    await this.#arrived();
    const names = members.map((user) => `@${user}`).join(", ");
    this.#note(
      group,
      `begins anew with the users whose timelines say that they are members: ${names}; the first is its admin`,
    );
  }

  /** The user's timeline is wrong: writes the entry that it lost. */
  async #tell(user: UserState, group: GroupState, isIn: boolean): Promise<void> {
    const last = saidOf(group).members.get(user.user);
    const taken = user.conversation(group.address).takenThroughPending;
    const seq = last !== undefined && last.isIn === isIn && last.seq > taken ? last.seq : group.headSeq;
    const detail = last?.detail ?? { change: "left", by: user.user, at: this.#parts.at };
    const change = isIn ? "joined" : "left";
    const isUnasked = isIn && detail.by !== user.user;
    const { epoch, address } = group;
    const place = { group: address, user: user.user, seq, prev: 0 as Seq, epoch };
    takeMembership(
      this.#parts.host.home(user.user),
      user,
      { kind: "membership", ...place, change, at: detail.at, isUnasked },
      UNHEARD,
    );
    await this.#parts.host.store.idle();
    const isTold = (user.membership(group.address) !== undefined) === isIn;
    const what = `${user.address} is ${isIn ? "a" : "no"} member, as the group's log says`;
    this.#note(group, isTold ? what : `${what}, and their timeline says otherwise`);
  }

  /** A group without admins gets its longest-standing member as admin. A lost name is replaced by the group's id. */
  async #lead(group: GroupState): Promise<void> {
    const { at } = this.#parts;
    const [first] = [...group.members].toSorted(([, a], [, b]) => a.joinedSeq - b.joinedSeq);
    const [user, { joinedSeq }] = first!;
    if (![...group.members.values()].some(({ role }) => role === "admin")) {
      await this.#change(group, { change: "role", by: user, at, user, role: "admin" });
      this.#note(group, `lost its admins; @${user}, the member of longest standing, is admin now`);
    }
    if (group.name === "") {
      await this.#change(group, { change: "renamed", by: user, at, name: nameOf(group.address) });
      this.#note(group, "lost its name; its id replaces it");
    }
    // A lost entry may have created the group anew.
    const [stored] = group.log.readForward(group.address, (joinedSeq - 1) as Seq, 1);
    const isLost = stored !== undefined && readGroupEntry(stored).kind === "erased";
    if (isLost && joinedSeq > group.bornSeq) await this.#bornAt(group, joinedSeq);
  }

  /** Sets the seq before which no entry is shown. */
  async #bornAt({ log, address, handle }: GroupState, bornSeq: Seq): Promise<GroupState> {
    const { groups, heads } = this.#parts.host.ownerOf(address);
    await writeRecord(log, () => log.putNumbers(handle, "born", bornSeq));
    groups.drop(address);
    heads.forget(address);
    return groups.get(address)!;
  }

  /** Writes a change after loading every user it concerns. Throws for users in shards that stay closed. */
  async #change(group: GroupState, detail: GroupChangeDetail): Promise<void> {
    for (const user of [...(detail.members ?? []), ...(detail.user === undefined ? [] : [detail.user])])
      this.#parts.host.home(user).users.get(user);
    await changeGroup(this.#parts.host.ownerOf(group.address), group, detail);
    await this.#arrived();
  }

  /** Resolves when all handoffs are in the timelines. */
  async #arrived(): Promise<void> {
    const { host } = this.#parts;
    await host.arrivalsIdle();
    await host.store.idle();
  }
}

function adminBeside({ members }: GroupState, user: UserId): UserId | undefined {
  for (const [member, { role }] of members) if (member !== user && role === "admin") return member;
  return undefined;
}
