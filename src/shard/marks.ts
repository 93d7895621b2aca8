/**
 * Marks: how far a device has got (`received`), how far a user has read, and the other side's view of both (G6).
 *
 * Marks only rise, so they coalesce: what comes between two writes of the log becomes one record per conversation. The other side's mark is written
 * before the user's own `received`: were the first lost in a crash, the second is lost too, and the device, coming back with its cursor, says it again.
 */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { isGroup, nameOf, type Address, type GroupAddress, type UserId } from "../domain/address.ts";
import { readTimelineEntry } from "../domain/entries.ts";
import type { ReceiptKind } from "../protocol/frames.ts";
import type { Seq } from "../../storage/types.ts";
import { isDamage, stepsUnlessDamaged, unlessDamaged } from "./damage.ts";
import type { ConversationState } from "./conversation-state.ts";
import type { GroupState } from "./group-state.ts";
import { MemberMark, PeerMark, ReadMark, ReceivedMark, type MarkRecord } from "./mark-records.ts";
import type { Shards } from "./shards.ts";
import { newestTaken as newestOf } from "./undelivered-queue.ts";
import type { UserState } from "./user-state.ts";

const PAGE = 30;
/** Entries of a timeline that are read in one step. */
const WALK_PAGE = 64;

/** A user whose devices have more than memory holds the messages of: worked out up to `through`, which may rise meanwhile. */
type Walk = { through: Seq };
const LAZY_MS = 1000;

export class Marks {
  readonly #host: Shards;
  #peers: PeerMark[] = [];
  #members = new Map<string, MemberMark>();
  #reads = new Map<ConversationState, ReadMark>();
  /** How far devices have got: nobody is shown it, and the devices say it again after a crash, so it need not go with every write. */
  #received: ReceivedMark[] = [];
  readonly #walks = new Map<UserState, Walk>();
  #isLazyDue = false;
  #isStopped = false;
  #cancelLazy: (() => void) | undefined;

  constructor(host: Shards) {
    this.#host = host;
  }

  /** A device has the timeline up to `seq`. @throws AppError bad_request when that is not there yet */
  received(user: UserState, seq: Seq): void {
    if (seq > user.headSeq) throw beyondHead("the timeline", seq, user.headSeq);
    if (seq <= user.receivedPending) return;
    const walk = this.#walks.get(user);
    if (walk !== undefined) walk.through = Math.max(walk.through, seq) as Seq;
    else if (user.receivedPending < user.undelivered.heldAbove) this.#beginWalk(user, seq);
    else this.#deliverHeld(user, seq);
  }

  /** What memory does not hold is worked out from the log, in steps: it costs what it covers, and nobody waits for it. */
  #beginWalk(user: UserState, through: Seq): void {
    const walk: Walk = { through };
    this.#walks.set(user, walk);
    // Not dropped from memory before it is done.
    user.pendingMarks++;
    this.#host.turns
      .run(this.#walk(user, walk))
      .catch((error: unknown) => this.#host.logger.error("receipts could not be worked out", { error }))
      .finally(() => {
        this.#walks.delete(user);
        user.pendingMarks--;
      });
  }

  *#walk(user: UserState, walk: Walk): Steps<void> {
    for (;;) {
      const end = Math.min(walk.through, user.undelivered.heldAbove) as Seq;
      if (user.receivedPending >= end) break;
      if (this.#isStopped) return;
      const { through } = walk;
      const isAll = through - user.receivedPending > WALK_PAGE && through >= newestOf(user.conversations.values());
      yield* isAll ? this.#deliverAll(user, through) : this.#deliverPage(user, end);
      yield;
    }
    this.#walks.delete(user);
    this.#deliverHeld(user, walk.through);
  }

  /** Everything there is up to `end`: the conversations know their newest message, so nothing is read. */
  *#deliverAll(user: UserState, end: Seq): Steps<void> {
    const newest = [...user.conversations.values()]
      .filter(({ address, takenSeq }) => !isGroup(address) && takenSeq > user.receivedPending)
      .map(({ address, takenThrough }): [Address, Seq] => [address, takenThrough]);
    yield* this.#tellPeers(user, newest);
    this.#noteReceived(user, end);
  }

  /** A page of the timeline; of each conversation the newest message in it counts. */
  *#deliverPage(user: UserState, end: Seq): Steps<void> {
    const count = Math.min(WALK_PAGE, end - user.receivedPending);
    const page = user.log.readForward(user.address, user.receivedPending, count);
    const newest = new Map<Address, Seq>();
    for (const stored of page) {
      const entry = readTimelineEntry(stored);
      if (entry.kind === "taken") newest.set(stored.lane as Address, entry.fromSeq);
    }
    yield* this.#tellPeers(user, newest);
    this.#noteReceived(user, page.at(-1)?.seq ?? end);
  }

  *#tellPeers(user: UserState, newest: Iterable<[Address, Seq]>): Steps<void> {
    for (const [address, fromSeq] of newest) {
      yield* stepsUnlessDamaged(this.#host.users.steps(nameOf(address) as UserId));
      this.#tellPeer(user, address, "delivered", fromSeq);
      yield;
    }
  }

  #noteReceived(user: UserState, seq: Seq): void {
    if (seq <= user.receivedPending) return;
    if (!user.isReceivedPending) this.#receivedLater(user);
    user.receivedPending = seq;
  }

  #receivedLater(user: UserState): void {
    this.#received.push(new ReceivedMark(user));
    user.isReceivedPending = true;
    user.pendingMarks++;
    this.#writeLazily();
  }

  /** A device has the log of a group up to `seq`. @throws AppError not_a_member or bad_request */
  receivedIn(user: UserState, address: GroupAddress, seq: Seq): void {
    this.receivedGroup(user, this.#memberGroup(user, address), seq);
  }

  /** The same of a group that the user is in. Said again it counts, too: the group may have been too large for marks before. */
  receivedGroup(user: UserState, group: GroupState, seq: Seq): void {
    if (seq > group.headSeq) throw beyondHead(group.address, seq, group.headSeq);
    const conversation = user.conversation(group.address);
    if (seq > conversation.got) conversation.got = seq;
    this.#memberMark(user, group, "delivered", seq);
  }

  /** The user has read a conversation up to `seq`: of the timeline, or of the group's log. */
  read(user: UserState, address: Address, seq: Seq): void {
    if (isGroup(address)) return this.#readGroup(user, address, seq);
    if (seq > user.headSeq) throw beyondHead("the timeline", seq, user.headSeq);
    const conversation = user.conversations.get(address);
    if (conversation === undefined) throw new AppError("not_found", `${address}: no conversation with it`);
    const through = Math.min(seq, conversation.lastSeq) as Seq;
    if (through <= conversation.ownReadPending) return;
    const taken = newestTaken(user, conversation, through, conversation.ownReadPending);
    this.#noteRead(user, conversation, through, taken?.ordinal ?? conversation.incomingReadPending);
    if (taken) this.#tellPeer(user, address, "read", taken.fromSeq);
  }

  /** Encodes what gathered; called just before each write of the log. */
  write(): void {
    const peers = this.#peers;
    this.#peers = [];
    for (const mark of peers) this.#append(mark);
    if (this.#members.size > 0) {
      for (const mark of this.#members.values()) this.#append(mark);
      this.#members.clear();
    }
    if (this.#reads.size > 0) {
      for (const mark of this.#reads.values()) this.#append(mark);
      this.#reads.clear();
    }
    if (this.#isLazyDue) this.#writeLazy();
  }

  /** Everything that would have waited goes with the next write. */
  hurry(): void {
    this.#isLazyDue = true;
    this.#host.schedule();
  }

  /** No write comes of waiting any more: the log is about to be closed. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelLazy?.();
  }

  #writeLazily(): void {
    if (this.#isStopped) return;
    this.#cancelLazy ??= this.#host.clock.after(LAZY_MS, () => this.hurry());
  }

  #writeLazy(): void {
    this.#isLazyDue = false;
    this.#cancelLazy?.();
    this.#cancelLazy = undefined;
    const received = this.#received;
    this.#received = [];
    for (const mark of received) this.#append(mark);
  }

  /** One that cannot be encoded is lost, and the log says so; the others go. The next mark of the same kind covers it. */
  #append(mark: MarkRecord): void {
    try {
      mark.log.append(mark);
    } catch (error) {
      mark.dropped();
      // Its shard was closed meanwhile, which the log says already.
      if (isDamage(error)) return;
      this.#host.logger.error("a mark could not be written", { error });
    }
  }

  #deliverHeld(user: UserState, seq: Seq): void {
    for (;;) {
      const next = user.undelivered.shiftThrough(seq);
      if (next === undefined) return this.#noteReceived(user, seq);
      this.#tellPeer(user, next.conversation.address, "delivered", next.fromSeq);
    }
  }

  /** `seq` is in the peer's numbering: the mark belongs to the peer. */
  #tellPeer(user: UserState, address: Address, kind: ReceiptKind, seq: Seq): void {
    // One whose data is damaged hears nothing. Marks are cumulative, so the next one says this, too.
    const peer = unlessDamaged(() => this.#host.userAt(address));
    if (peer === undefined) return;
    const conversation = peer.conversation(user.address);
    if (seq <= (kind === "delivered" ? conversation.deliveredPending : conversation.seenPending)) return;
    if (!conversation.isMarkPending) this.#peerLater(peer, conversation);
    if (kind === "delivered") conversation.deliveredPending = seq;
    else conversation.seenPending = seq;
  }

  #peerLater(peer: UserState, conversation: ConversationState): void {
    this.#peers.push(new PeerMark(peer, conversation));
    conversation.isMarkPending = true;
    peer.pendingMarks++;
    this.#host.schedule();
  }

  #readGroup(user: UserState, address: GroupAddress, seq: Seq): void {
    const group = this.#memberGroup(user, address);
    if (seq > group.headSeq) throw beyondHead(address, seq, group.headSeq);
    const conversation = user.conversation(address);
    if (seq > conversation.ownReadPending) this.#noteRead(user, conversation, seq, 0);
    this.#memberMark(user, group, "read", seq);
  }

  /** Who is not in a group is told no more than that, whether it is there or not. @throws AppError not_a_member */
  #memberGroup({ user }: UserState, address: GroupAddress): GroupState {
    const group = this.#host.groups.get(address);
    if (group?.members.has(user) === true) return group;
    throw new AppError("not_a_member", `${address}: you are not in it`);
  }

  #noteRead(user: UserState, conversation: ConversationState, through: Seq, incomingRead: number): void {
    if (!this.#reads.has(conversation)) {
      this.#reads.set(conversation, new ReadMark(user, conversation));
      user.pendingMarks++;
      this.#host.schedule();
    }
    conversation.ownReadPending = through;
    conversation.incomingReadPending = incomingRead;
  }

  /** In a small group the others learn of it. */
  #memberMark(user: UserState, group: GroupState, kind: ReceiptKind, seq: Seq): void {
    if (group.members.size > this.#host.limits.groupReceiptsMembersMax || seq < group.bornSeq) return;
    const marks = group.marksOf(user.user);
    if (seq <= (kind === "delivered" ? marks.deliveredPending : marks.seenPending)) return;
    const key = `${group.address}/${user.user}`;
    if (!this.#members.has(key)) {
      this.#members.set(key, new MemberMark(this.#host, group, user));
      group.pendingMarks++;
      this.#host.schedule();
    }
    if (kind === "delivered") marks.deliveredPending = seq;
    else marks.seenPending = seq;
  }
}

/** The newest message of the other side in `(after, through]`: its seq on their side, and how many there were up to it. */
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
      // Of what was erased nothing is known, and no mark is needed.
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
