import { expect, test } from "bun:test";
import fc from "fast-check";
import type { GroupAddress, UserId } from "../../src/domain/address.ts";
import { Connected } from "../../src/home/connected.ts";
import type { Session } from "../../src/home/session.ts";
import type { GroupState } from "../../src/home/state/group-state.ts";
import { NO_SESSIONS, type UserState } from "../../src/home/state/user-state.ts";
import { Audiences } from "../../src/node/audiences.ts";
import { seeded } from "../support/seed.ts";

const USERS = ["ann", "ben", "cat", "dan"] as UserId[];
/** More than there are lists. */
const GROUPS = Array.from({ length: 140 }, (_, n) => `#g${n}` as GroupAddress);

function scene() {
  const connected = new Connected();
  const audiences = new Audiences(connected);
  const states = new Map(USERS.map((user) => [user, { user, sessions: NO_SESSIONS } as unknown as UserState]));
  const load = (address: GroupAddress) =>
    ({ address, members: new Map<UserId, object>(), membershipChanges: 0 }) as unknown as GroupState;
  const groups = GROUPS.map(load);
  const isRight = (group: GroupState): void => {
    const list = audiences.of(group);
    const sessions = USERS.filter((user) => group.members.has(user)).flatMap((user) => [...states.get(user)!.sessions]);
    expect(new Set(list)).toEqual(new Set(sessions));
    expect(list).toHaveLength(sessions.length);
  };
  return { connected, audiences, states, groups, load, isRight };
}

const sessionOf = (user: UserId): Session => ({ user }) as Session;

const step = fc.record({
  kind: fc.constantFrom("attach", "again", "detach", "member", "reload", "post"),
  user: fc.constantFrom(...USERS),
  group: fc.oneof(fc.nat({ max: 2 }), fc.nat({ max: GROUPS.length - 1 })),
});

test("a list has each session of each member once, whoever comes, goes, joins and leaves", () => {
  const history = fc.array(step, { maxLength: 300 });
  fc.assert(
    fc.property(history, (steps) => {
      const { connected, states, groups, load, isRight } = scene();
      for (const { kind, user, group: at } of steps) {
        const state = states.get(user)!;
        const group = groups[at]!;
        const [oldest] = state.sessions;
        if (kind === "attach") connected.attach(state, sessionOf(user));
        else if (kind === "again" && oldest !== undefined) connected.attach(state, oldest);
        else if (kind === "detach" && oldest !== undefined) connected.detach(state, oldest);
        else if (kind === "reload") groups[at] = load(group.address);
        else if (kind === "post") isRight(group);
        else if (kind === "member") {
          if (!group.members.delete(user)) group.members.set(user, { role: "member", joinedSeq: 1 as never });
          group.membershipChanges++;
        }
      }
      for (const group of groups) isRight(group);
      for (const group of groups.slice(0, 3)) isRight(group);
    }),
    seeded(300),
  );
});

test("who goes through a list misses nobody and meets nobody twice, when sessions leave and come meanwhile", () => {
  const { connected, audiences, states, groups } = scene();
  const group = groups[0]!;
  const state = states.get("ann" as UserId)!;
  group.members.set(state.user, { role: "member", joinedSeq: 1 as never });
  const sessions = [1, 2, 3, 4].map(() => sessionOf(state.user));
  for (const session of sessions) connected.attach(state, session);
  const list = audiences.of(group);
  connected.detach(state, sessions[1]!);
  expect(list).toEqual(sessions);
  expect(audiences.of(group)).toEqual([sessions[0]!, sessions[2]!, sessions[3]!]);
});
