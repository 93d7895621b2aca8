/** Accepts the ref of a post from the group's shard: the author's shard keeps all refs of its users (G2). */
import type { GroupAddress } from "../../domain/address.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { Seq } from "../../../storage/types.ts";
import { CellReader, encodeCell } from "../state/cells.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { foldAsked } from "../fold/timeline-cells.ts";
import { hasRoomForOwnGroup } from "../groups/group-quota.ts";
import type { HandoffOutcome, PostedHandoff } from "../messages/handoff.ts";
import { GroupSend } from "../sending/post-group.ts";
import type { UserState } from "../state/user-state.ts";

/** Notes the ref, unless it is noted already. */
export function takePosted(author: UserState, handoff: PostedHandoff, outcome: HandoffOutcome): void {
  const pending = author.pendingSend(handoff.ref);
  const send = pending instanceof GroupSend && pending.to === handoff.group ? pending : undefined;
  // If it is on its way to the log, it is confirmed when it is durable.
  if (send?.isRefPending === true) return;
  if (send?.isRefNoted === true) return alreadyNoted(send, handoff, outcome);
  if (send === undefined || send.mayRepeat) {
    const known = author.log.findKey(author.address, handoff.ref);
    if (known !== undefined) return alreadyNoted(send, handoff, outcome);
  }
  author.log.append(new RefNoted(author, handoff, outcome, send));
  if (send !== undefined) send.isRefPending = true;
}

function alreadyNoted(send: GroupSend | undefined, { seq }: PostedHandoff, outcome: HandoffOutcome): void {
  send?.refNoted();
  outcome.confirmed(seq);
}

class RefNoted implements RecordSource {
  readonly #author: UserState;
  readonly #handoff: PostedHandoff;
  readonly #outcome: HandoffOutcome;
  readonly #send: GroupSend | undefined;
  #asked: ConversationState | undefined;

  constructor(author: UserState, handoff: PostedHandoff, outcome: HandoffOutcome, send: GroupSend | undefined) {
    this.#author = author;
    this.#handoff = handoff;
    this.#outcome = outcome;
    this.#send = send;
  }

  encode(): void {
    const { group, ref, seq } = this.#handoff;
    this.#asked = writePostedRef(this.#author, group, ref, seq);
  }

  committed(): void {
    const asked = this.#asked;
    if (asked !== undefined) foldAsked(asked, asked.askedPending);
    const send = this.#send;
    if (send !== undefined) this.#author.posted?.posted(this.#handoff.group, this.#handoff.seq, send.textBytes);
    this.#outcome.confirmed(this.#handoff.seq);
    send?.refNoted();
  }

  failed(error: Error): void {
    if (this.#send !== undefined) this.#send.isRefPending = false;
    this.#outcome.notTaken(error);
  }
}

/**
 * Notes where the message went: the seq of the author's own membership entry, whose lane names the group. That takes
 * one or two bytes instead of the address. If there is no such entry yet, the address is noted. The value is encoded
 * once per membership and load, so that other posts do not pay for it.
 *
 *     value    cell of: seq of the entry | address, if that is 0
 *
 * @returns the membership, if this record makes it the author's own
 */
function writePostedRef(author: UserState, group: GroupAddress, ref: string, seq: Seq): ConversationState | undefined {
  const joined = author.membership(group);
  const isFirst = joined !== undefined && joined.postedRefValue === undefined;
  const asked = isFirst && makeOwn(author, joined) ? joined : undefined;
  if (isFirst) joined.postedRefValue = encodeCell(joined.lastSeq);
  author.log.putKey(author.handle, ref, seq, joined?.postedRefValue ?? encodeCell(0, group));
  return asked;
}

/**
 * By posting, an author makes the membership their own, if there is room: in the same record. If that record fails, the
 * membership counts as their own until the user is loaded again. @returns whether the record says so
 */
function makeOwn(author: UserState, joined: ConversationState): boolean {
  if (!joined.isUnasked || !hasRoomForOwnGroup(author)) return false;
  author.log.putNumbers(author.handle, `asked/${joined.address}`, joined.joinedSeq);
  joined.askedPending = joined.joinedSeq;
  return true;
}

/** The group that a ref of the author was posted to. @param value of the ref's key */
export function groupOfPostedRef(author: UserState, value: Uint8Array): GroupAddress | undefined {
  const fields = new CellReader(value);
  const seq = fields.number() as Seq;
  if (seq === 0) return fields.text() as GroupAddress;
  const [membership] = author.log.readForward(author.address, (seq - 1) as Seq, 1);
  return membership?.lane as GroupAddress | undefined;
}
