/**
 * Marks of one shard on their way to its log: gathered marks go with the next write, `received` with a write within the
 * next second.
 */
import type { Seq } from "../../../storage/types.ts";
import type { Logger } from "../../base/logger.ts";
import { FencedError, LogFailedError } from "../../../storage/errors.ts";
import { isDamage } from "../damage.ts";
import type { MarkOffers } from "../handoffs/mark-offers.ts";
import { ReadMark, ReceivedMark, type MarkRecord } from "./mark-records.ts";
import type { MarkTurns, WaitingMarks } from "./mark-turns.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { UserState } from "../state/user-state.ts";

export class MarkWriter implements WaitingMarks {
  readonly #turns: MarkTurns;
  readonly #offers: MarkOffers;
  readonly #logger: Logger;
  readonly #gathered: MarkRecord[] = [];
  #isWriteWanted = false;
  #isWaiting = false;
  /**
   * Users whose `received` rises. It is shown to nobody, and devices repeat it after a crash, so it need not go with
   * every write.
   */
  readonly #received = new Set<UserState>();
  #isReceivedDue = false;
  /** `received` goes as soon as it is safe, without waiting for a tick. */
  #isHurried = false;

  constructor(turns: MarkTurns, offers: MarkOffers, logger: Logger) {
    this.#turns = turns;
    this.#offers = offers;
    this.#logger = logger;
  }

  gather(record: MarkRecord): void {
    this.#gathered.push(record);
    this.#wantWrite();
  }

  /**
   * The user has read up to what is pending now. @param isSafe whether the peer's copy is safe; if not, `release` comes
   * later
   */
  noteRead(
    user: UserState,
    conversation: ConversationState,
    through: Seq,
    incomingRead: number,
    isSafe: boolean,
  ): void {
    const known = conversation.readMark;
    const mark = known === undefined || (known.isGathered && !isSafe) ? new ReadMark(user, conversation) : known;
    conversation.ownReadPending = through;
    conversation.incomingReadPending = incomingRead;
    if (isSafe) this.#gatherRead(mark);
  }

  /** The pending read mark is safe. */
  release({ readMark }: ConversationState): void {
    if (readMark !== undefined && !readMark.isGathered) this.#gatherRead(readMark);
  }

  /** The user's `received` has risen. */
  receivedLater(user: UserState): void {
    if (this.#received.has(user)) return;
    this.#received.add(user);
    user.pendingMarks++;
    this.wait();
  }

  /** Something waits for a tick. */
  wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#turns.waits(this);
  }

  write(): void {
    this.#isWriteWanted = false;
    // Records gathered during the loop go as well.
    for (const record of this.#gathered) this.#append(record);
    this.#gathered.length = 0;
    if (this.#isReceivedDue) this.#writeReceived();
  }

  /** The shard is closed: nothing waits any more. */
  forget(): void {
    this.#received.clear();
  }

  tick(nowMs: number): boolean {
    this.#isWaiting = false;
    const areOffersOpen = this.#offers.tick(nowMs);
    if (this.#received.size > 0) this.#hastenReceived();
    if (areOffersOpen) this.#isWaiting = true;
    return areOffersOpen;
  }

  hurry(): void {
    this.#isHurried = true;
    this.#hastenReceived();
  }

  /** The peers' copies are safe, so more of `received` may go. */
  safer(): void {
    if (this.#isHurried) this.#hastenReceived();
  }

  #hastenReceived(): void {
    this.#isReceivedDue = true;
    this.#wantWrite();
  }

  #wantWrite(): void {
    if (this.#isWriteWanted) return;
    this.#isWriteWanted = true;
    this.#turns.gathered(this);
  }

  #gatherRead(mark: ReadMark): void {
    mark.capture();
    if (mark.isGathered) return;
    mark.isGathered = true;
    this.gather(mark);
  }

  /** Through the safe seq; the rest keeps waiting. */
  #writeReceived(): void {
    this.#isReceivedDue = false;
    const floors = this.#offers.floors();
    for (const user of this.#received) {
      const through = Math.min(user.receivedPending, floors.get(user) ?? user.receivedPending) as Seq;
      if (through > user.receivedAppended) this.#append(new ReceivedMark(user, through));
      if (user.receivedAppended < user.receivedPending) continue;
      this.#received.delete(user);
      user.pendingMarks--;
    }
    if (this.#received.size === 0) this.#isHurried = false;
    else this.wait();
  }

  /** A mark that cannot be encoded is dropped and logged; the others go. The next mark of the same kind covers it. */
  #append(mark: MarkRecord): void {
    try {
      mark.log.append(mark);
    } catch (error) {
      mark.dropped(error);
      // Its shard was closed, taken over or opened anew; that is in the log already.
      if (isDamage(error) || error instanceof FencedError || error instanceof LogFailedError) return;
      return this.#logger.error("a mark could not be written", { error });
    }
    if (mark.appended !== undefined && mark.log.isOneOrder) mark.appended();
  }
}
