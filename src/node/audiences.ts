/**
 * The sessions of the members of large groups, each group's as one list: a post to 1,000 members would look up 1,000
 * users otherwise, and most of these look-ups miss the processor's cache.
 *
 * A list is made with a group's first post and kept up to date while sessions come and go. Few lists are kept: those of
 * the groups that were not written to for longest are dropped first.
 *
 * Invariant: between two calls from outside, a list has each session of each member once, and no other.
 */
import type { GroupAddress } from "../domain/address.ts";
import type { Connected, SessionWatcher } from "../home/connected.ts";
import type { Session } from "../home/session.ts";
import type { GroupState } from "../home/state/group-state.ts";

const LISTS_MAX = 128;

type List = { readonly group: GroupState; readonly membershipChanges: number; sessions: Session[] };

export class Audiences implements SessionWatcher {
  readonly #connected: Connected;
  /** The group that was written to last is the last one. */
  readonly #lists = new Map<GroupAddress, List>();

  constructor(connected: Connected) {
    this.#connected = connected;
    connected.watchSessions(this);
  }

  /** The sessions of all members. The list is never changed but at its end, so a caller may go through it. */
  of(group: GroupState): readonly Session[] {
    const { address } = group;
    const known = this.#lists.get(address);
    const isRight = known?.group === group && known.membershipChanges === group.membershipChanges;
    const list = isRight ? known : this.#make(group);
    this.#lists.delete(address);
    this.#lists.set(address, list);
    if (this.#lists.size > LISTS_MAX) this.#dropOldest();
    return list.sessions;
  }

  attached(session: Session): void {
    for (const { group, sessions } of this.#lists.values()) if (group.members.has(session.user)) sessions.push(session);
  }

  /** Somebody may be going through the list, so a shorter one takes its place. */
  detached(session: Session): void {
    for (const list of this.#lists.values())
      if (list.group.members.has(session.user)) list.sessions = list.sessions.filter((one) => one !== session);
  }

  #make(group: GroupState): List {
    const sessions: Session[] = [];
    for (const user of group.members.keys())
      for (const session of this.#connected.of(user) ?? []) sessions.push(session);
    return { group, membershipChanges: group.membershipChanges, sessions };
  }

  #dropOldest(): void {
    for (const address of this.#lists.keys()) return void this.#lists.delete(address);
  }
}
