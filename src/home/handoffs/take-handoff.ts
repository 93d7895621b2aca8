/** Accepts a handoff at the shard of its receiver. A receiver that is not in memory is loaded first. */
import { nameOf, userAddress, type UserId } from "../../domain/address.ts";
import { cellNumber, cellText } from "../state/cells.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Handoff, HandoffOutcome, MemberMarkHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";
import { takeMemberMark, takePeerMark } from "./take-mark.ts";
import { takeMembership } from "./take-membership.ts";
import { takeMessage } from "./take-message.ts";
import { takePosted } from "./take-posted.ts";
import type { UserState } from "../state/user-state.ts";

/** Handoffs into a user's stream. */
type UserHandoff = Extract<Handoff, { kind: "message" | "posted" | "membership" | "peerMark" }>;

/** @throws AppError unavailable if the shard is damaged; what the log throws for a record that cannot be appended */
export function takeHandoff(shard: Shard, handoff: Handoff, outcome: HandoffOutcome): void {
  switch (handoff.kind) {
    case "message":
      return forUser(shard, handoff.receiver, handoff, outcome);
    case "posted":
      return forUser(shard, handoff.author, handoff, outcome);
    case "membership":
      return forUser(shard, handoff.user, handoff, outcome);
    case "peerMark":
      return forUser(shard, handoff.receiver ?? (nameOf(handoff.to) as UserId), handoff, outcome);
    case "memberMark":
      return forGroup(shard, handoff, outcome);
  }
}

function forUser(shard: Shard, name: UserId, handoff: UserHandoff, outcome: HandoffOutcome): void {
  const user = shard.users.peek(name);
  if (user !== undefined && !shard.arrivals.isAwaited(name)) take(shard, user, handoff, outcome);
  else forUserLater(shard, name, handoff, outcome);
}

/** A function of its own, since a function that may make closures costs more even if it makes none. */
function forUserLater(shard: Shard, name: UserId, handoff: UserHandoff, outcome: HandoffOutcome): void {
  // Known damage is reported at once.
  shard.logFor(userAddress(name));
  shard.arrivals.add(name, {
    arrived(loaded) {
      if (loaded === undefined) noSuchUser(shard, handoff, outcome);
      else take(shard, loaded, handoff, outcome);
    },
    failed: (error) => outcome.notTaken(error),
  });
}

function take(shard: Shard, user: UserState, handoff: UserHandoff, outcome: HandoffOutcome): void {
  if (handoff.kind === "message") takeMessage(shard, user, handoff, outcome);
  else if (handoff.kind === "peerMark") takePeerMark(shard, user, handoff, outcome);
  else if (handoff.kind === "posted") takePosted(user, handoff, outcome);
  else takeMembership(shard, user, handoff, outcome);
}

/** Users are never removed, so this user's data is lost, and no receiver is left. */
function noSuchUser(shard: Shard, handoff: UserHandoff, outcome: HandoffOutcome): void {
  shard.logger.error("a handoff has no receiver", { kind: handoff.kind, shard: shard.id });
  if (handoff.kind === "peerMark") outcome.confirmed(handoff.delivered, handoff.read);
  else outcome.confirmed(handoff.seq);
}

function forGroup(shard: Shard, handoff: MemberMarkHandoff, outcome: HandoffOutcome): void {
  const group = shard.groups.peek(handoff.group);
  if (group !== undefined && !shard.groupArrivals.isAwaited(handoff.group))
    return takeMemberMark(shard, group, handoff, outcome);
  if (group === undefined && isNoted(shard, handoff)) return outcome.confirmed(handoff.delivered, handoff.read);
  shard.groupArrivals.add(handoff.group, {
    arrived: (loaded) => arrived(shard, loaded, handoff, outcome),
    failed: (error) => outcome.notTaken(error),
  });
}

/** Known without loading the group: the cells have marks as high, or the handoff is of a former life. */
function isNoted(shard: Shard, { group, user, epoch, delivered, read }: MemberMarkHandoff): boolean {
  const log = shard.logFor(group);
  if (cellText(log.cell(group, "epoch")) !== epoch) return true;
  const isAsHigh = (key: string, seq: number): boolean => seq === 0 || cellNumber(log.cell(group, key)) >= seq;
  return isAsHigh(`delivered/${user}`, delivered) && isAsHigh(`seen/${user}`, read);
}

function arrived(
  shard: Shard,
  group: GroupState | undefined,
  handoff: MemberMarkHandoff,
  outcome: HandoffOutcome,
): void {
  if (group === undefined) outcome.confirmed(handoff.delivered, handoff.read);
  else takeMemberMark(shard, group, handoff, outcome);
}
