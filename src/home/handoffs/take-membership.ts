/**
 * Accepts a membership that the group's shard handed over into the user's timeline: "you are in", or "you are out"
 * (G8).
 */
import type { GroupAddress } from "../../domain/address.ts";
import { payloadBytesMax, writeMembership, type MembershipEntry } from "../../domain/entries.ts";
import type { MembershipFrame } from "../../protocol/frames.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldMembership } from "../fold/timeline.ts";
import type { HandoffOutcome, MembershipHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

/** Accepts the membership if it follows the last one in the timeline; otherwise replies with the last one. */
export function takeMembership(
  shard: Shard,
  user: UserState,
  handoff: MembershipHandoff,
  outcome: HandoffOutcome,
): void {
  const known = user.conversations.get(handoff.group);
  const knownThrough = known?.takenThroughPending ?? (0 as Seq);
  if (handoff.seq <= knownThrough) {
    // If it is on its way to the log, it is confirmed when it is durable.
    if (known !== undefined && handoff.seq <= known.takenThrough) outcome.confirmed(known.takenThrough);
    return;
  }
  if (handoff.prev > knownThrough) return outcome.missing(knownThrough);
  const take = new MembershipTake(shard, user, handoff, outcome);
  user.log.append(take);
  take.appended();
}

class MembershipTake implements RecordSource {
  readonly #shard: Shard;
  readonly #user: UserState;
  readonly #handoff: MembershipHandoff;
  readonly #outcome: HandoffOutcome;
  readonly #entry: MembershipEntry;
  readonly #seq: Seq;

  constructor(shard: Shard, user: UserState, handoff: MembershipHandoff, outcome: HandoffOutcome) {
    const { change, at, seq: groupSeq, isUnasked } = handoff;
    this.#shard = shard;
    this.#user = user;
    this.#handoff = handoff;
    this.#outcome = outcome;
    this.#entry = { kind: "membership", change, at, groupSeq, isUnasked };
    this.#seq = user.nextSeq;
  }

  get #conversation(): ConversationState {
    return this.#user.conversation(this.#handoff.group);
  }

  encode(): void {
    const { log, handle } = this.#user;
    log.beginEntry(handle, this.#handoff.group, "", this.#seq, payloadBytesMax(""));
    writeMembership(log.writer, this.#entry);
    log.endEntry();
  }

  appended(): void {
    this.#user.nextSeq = (this.#seq + 1) as Seq;
    const conversation = this.#conversation;
    conversation.takenThroughPending = this.#entry.groupSeq;
    if (this.#entry.change === "joined") conversation.isPutInPending = this.#entry.isUnasked === true;
  }

  committed(): void {
    const conversation = this.#conversation;
    const { groupSeq } = this.#entry;
    foldMembership(this.#user, conversation, this.#seq, this.#entry);
    if (conversation.takenThroughPending === groupSeq) conversation.isPutInPending = conversation.isPutIn;
    this.#outcome.confirmed(groupSeq);
    const { sessions } = this.#user;
    if (sessions.length === 0) return;
    const { group, epoch } = this.#handoff;
    const frame = JSON.stringify(membershipFrame(this.#seq, group, this.#entry, epoch));
    for (const session of sessions) session.entry("timeline", this.#seq, frame);
    this.#shard.mirrors.membershipChanged(this.#user, group);
  }

  failed(error: Error): void {
    this.#outcome.notTaken(error);
  }
}

export function membershipFrame(
  seq: Seq,
  conversation: GroupAddress,
  { change, groupSeq }: MembershipEntry,
  epoch: string,
): MembershipFrame {
  return { t: "membership", seq, conversation, change, groupSeq, epoch };
}
