/**
 * Marks: how far a device has the messages (`received`), how far a user has read, and the peer's copy of both (G6). The
 * peer's copy is handed over to the peer's shard (mark-offers.ts); the user's own marks follow when the copy is safe.
 *
 * Marks only rise, so they coalesce: all marks of a conversation between two writes of the log become one record. A
 * crash may lose marks that are not safe. Then the user's own mark is lost too, and the device says it again when it
 * comes back with its cursor.
 */
import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { mustBeIn } from "../authorization.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { Standing } from "../groups/group-heads.ts";
import type { GroupMirror } from "../group-mirror.ts";
import { MemberMarkOffer, PeerMarkOffer, type MarkOffer } from "../handoffs/mark-offer.ts";
import { MarkOffers } from "../handoffs/mark-offers.ts";
import type { MarkRecord } from "./mark-records.ts";
import type { MarkTurns } from "./mark-turns.ts";
import { MarkWriter } from "./mark-writer.ts";
import { ReceivedWalk } from "./received-walk.ts";
import type { Shard } from "../shard.ts";
import type { Undelivered } from "../state/undelivered-queue.ts";
import type { UserState } from "../state/user-state.ts";

const PAGE = 30;
const GROUP_RETRY_MS = 500;

export class Marks {
  readonly #shard: Shard;
  readonly #turns: MarkTurns;
  readonly #offers: MarkOffers;
  readonly #writer: MarkWriter;
  #isForgotten = false;
  /** Users whose devices have confirmed more than the messages held in memory. */
  readonly #walks = new Map<UserState, ReceivedWalk>();

  constructor(shard: Shard, turns: MarkTurns) {
    this.#shard = shard;
    this.#turns = turns;
    this.#offers = new MarkOffers(shard, {
      isStopped: () => this.#isStopped,
      onOpened: () => this.#writer.wait(),
      onSafe: (offer) => this.#safe(offer),
    });
    this.#writer = new MarkWriter(turns, this.#offers, shard.logger);
  }

  get #isStopped(): boolean {
    return this.#isForgotten || this.#turns.isStopped;
  }

  /** After a start: offers marks that the log notes as untold. */
  offerUntold(): void {
    this.#offers.untold.load();
    if (this.#offers.isEmpty) return;
    this.#offers.untold.offer(this.#shard.clock.monotonicMs());
    this.#writer.wait();
  }

  /** The shard is closed: nothing of it is offered any more. */
  forget(): void {
    this.#isForgotten = true;
    this.#offers.forget();
    this.#writer.forget();
  }

  /** A mark that was handed over to this shard: it goes with the next write. */
  gather(record: MarkRecord): void {
    this.#writer.gather(record);
  }

  /** A device has the timeline through `seq`. @throws AppError bad_request if `seq` is beyond the head */
  received(user: UserState, seq: Seq): void {
    if (seq > user.headSeq) throw beyondHead("the timeline", seq, user.headSeq);
    if (seq <= user.receivedPending) return;
    const walk = this.#walks.get(user);
    if (walk !== undefined) walk.through = Math.max(walk.through, seq) as Seq;
    else if (user.receivedPending < user.undelivered.heldAbove) this.#beginWalk(user, seq);
    else this.#deliverHeld(user, seq);
  }

  /**
   * A device has the log of a group through `seq`. Ignored if the user has left the group: devices say `received` by
   * themselves, perhaps before they hear of it. @throws AppError not_a_member if the user was never in it, or bad_request
   */
  receivedIn(user: UserState, address: GroupAddress, seq: Seq): void {
    const group = this.#groupOf(user, address);
    const wasIn = (user.conversations.get(address)?.takenThrough ?? 0) > 0;
    if (wasIn && group?.hasMember(user.user) !== true) return;
    this.receivedGroup(user, mustBeIn(group, address, user.user), seq);
  }

  /**
   * The same for a member's group. A repeated `seq` counts too: the group may have been too large for marks before.
   * @throws AppError bad_request
   */
  receivedGroup(user: UserState, group: Standing, seq: Seq): void {
    if (seq > group.headSeq) throw beyondHead(group.address, seq, group.headSeq);
    const conversation = user.conversation(group.address);
    if (seq > conversation.got) conversation.got = seq;
    if (this.#isTold(conversation, group, seq)) this.#memberOffer(user, conversation, group).sayDelivered(seq);
  }

  /**
   * The user has read a conversation through `seq`: of the timeline, or of the group's log.
   * @throws AppError not_a_member, not_found or bad_request
   */
  read(user: UserState, address: Address, seq: Seq): void {
    if (isGroup(address)) return this.#readGroup(user, address, seq);
    if (seq > user.headSeq) throw beyondHead("the timeline", seq, user.headSeq);
    const conversation = user.conversations.get(address);
    if (conversation === undefined) throw new AppError("not_found", `${address}: no conversation with it`);
    const through = Math.min(seq, conversation.lastSeq) as Seq;
    if (through <= conversation.ownReadPending) return;
    const taken = newestTaken(user, conversation, through, conversation.ownReadPending);
    const incomingRead = taken?.ordinal ?? conversation.incomingReadPending;
    if (taken !== undefined) this.#peerOffer(user, conversation).sayRead(taken.fromSeq);
    this.#noteRead(user, conversation, through, incomingRead);
  }

  #safe({ conversation, mayReadFollow }: MarkOffer): void {
    if (mayReadFollow) this.#writer.release(conversation);
    this.#writer.safer();
  }

  #noteReceived(user: UserState, seq: Seq): void {
    if (seq <= user.receivedPending) return;
    user.receivedPending = seq;
    this.#writer.receivedLater(user);
  }

  #beginWalk(user: UserState, through: Seq): void {
    const walk = new ReceivedWalk(user, through, {
      isStopped: () => this.#isStopped,
      delivered: (from, seq) => this.#peerOffer(user, user.conversation(from)).sayDelivered(seq),
      received: (seq) => this.#noteReceived(user, seq),
    });
    this.#walks.set(user, walk);
    // The user stays in memory until the walk is done.
    user.pendingMarks++;
    this.#shard.turns
      .run(this.#walking(user, walk))
      .catch((error: unknown) => this.#shard.logger.error("receipts could not be computed", { error }))
      .finally(() => {
        this.#walks.delete(user);
        user.pendingMarks--;
      });
  }

  *#walking(user: UserState, walk: ReceivedWalk): Steps<void> {
    if (!(yield* walk.steps())) return;
    this.#walks.delete(user);
    this.#deliverHeld(user, walk.through);
  }

  /** Of successive messages of one conversation, only the newest needs a mark. */
  #deliverHeld(user: UserState, seq: Seq): void {
    let last: Undelivered | undefined;
    for (;;) {
      const next = user.undelivered.shiftThrough(seq);
      if (last !== undefined && last.conversation !== next?.conversation)
        this.#peerOffer(user, last.conversation).sayDelivered(last.fromSeq);
      if (next === undefined) return this.#noteReceived(user, seq);
      last = next;
    }
  }

  #peerOffer(user: UserState, conversation: ConversationState): PeerMarkOffer {
    return (conversation.offer ??= new PeerMarkOffer(this.#offers, user, conversation)) as PeerMarkOffer;
  }

  #memberOffer(user: UserState, conversation: ConversationState, { epoch }: Standing): MemberMarkOffer {
    const offer = (conversation.offer ??= new MemberMarkOffer(this.#offers, user, conversation)) as MemberMarkOffer;
    return offer.inLife(epoch);
  }

  #readGroup(user: UserState, address: GroupAddress, seq: Seq): void {
    const group = mustBeIn(this.#groupOf(user, address), address, user.user);
    if (seq > group.headSeq) throw beyondHead(address, seq, group.headSeq);
    const conversation = user.conversation(address);
    if (this.#isTold(conversation, group, seq)) this.#memberOffer(user, conversation, group).sayRead(seq);
    if (seq > conversation.ownReadPending) this.#noteRead(user, conversation, seq, 0);
  }

  #noteRead(user: UserState, conversation: ConversationState, through: Seq, incomingRead: number): void {
    const isSafe = conversation.offer === undefined || conversation.offer.mayReadFollow;
    this.#writer.noteRead(user, conversation, through, incomingRead, isSafe);
  }

  /** The caller has loaded the group, unless it is damaged. @throws AppError unavailable */
  #groupOf({ conversations }: UserState, address: GroupAddress): GroupMirror | undefined {
    const { mirrors } = this.#shard;
    const shard = conversations.get(address)?.shard;
    if (shard === undefined) return undefined;
    const group = mirrors.peek(address, shard);
    if (group !== undefined) return group;
    const steps = mirrors.steps(address, shard);
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
      if (value !== undefined) break;
    }
    // It is at another node, which has to be asked. It was loaded, and has moved or changed since.
    throw new AppError("unavailable", `${address} cannot be read now; try again`, { retryAfterMs: GROUP_RETRY_MS });
  }

  /** Members of a small group are told. If the number of members is not known here, the group's shard decides. */
  #isTold(conversation: ConversationState, group: Standing, seq: Seq): boolean {
    if (seq < group.bornSeq) return false;
    const mirror = this.#shard.mirrors.peek(group.address, conversation.shard);
    return mirror === undefined || mirror.memberCount <= this.#shard.limits.groupReceiptsMembersMax;
  }
}

/**
 * The peer's newest message in `(after, through]`: its seq in the peer's numbering, and how many there are through it.
 */
function newestTaken(
  user: UserState,
  conversation: ConversationState,
  through: Seq,
  after: Seq,
): { fromSeq: Seq; ordinal: number } | undefined {
  const { takenSeq, takenThrough, incoming, address, goneSeq } = conversation;
  if (takenSeq <= after || takenSeq <= goneSeq) return undefined;
  if (takenSeq <= through) return { fromSeq: takenThrough, ordinal: incoming };
  for (let before = (through + 1) as Seq; ;) {
    const page = user.log.readLaneBackward(user.address, address, before, PAGE);
    for (const stored of page.reverse()) {
      // Erased messages have no ordinal, and need no mark.
      if (stored.seq <= after || stored.seq <= goneSeq) return undefined;
      const entry = readTimelineEntry(stored);
      if (entry.kind === "taken") return { fromSeq: entry.fromSeq, ordinal: entry.ordinal };
      before = stored.seq;
    }
    if (page.length < PAGE) return undefined;
  }
}

function beyondHead(what: string, seq: number, head: number): AppError {
  return new AppError("bad_request", `seq: ${seq} is beyond the end of ${what}, which is ${head}`);
}
