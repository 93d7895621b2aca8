/**
 * One shard as commands see it: its log, its users and groups, their sessions, marks and locks. A command runs at one
 * shard and sees nothing of others: the router reaches them (shard-router.ts), and mirrors show groups that live
 * elsewhere (group-mirror.ts).
 *
 * Not here: what commands do, and which shards there are (shard-host.ts).
 */
import type { Clock } from "../base/clock.ts";
import type { StepTurns, Steps } from "../base/steps.ts";
import type { Logger } from "../base/logger.ts";
import { assert } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { isGroup, nameOf, userAddress, type Address, type GroupAddress, type UserId } from "../domain/address.ts";
import type { MessageIds } from "../domain/message-id.ts";
import type { Limits } from "../protocol/frames.ts";
import { CorruptionError } from "../../storage/errors.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import type { ShardId } from "../../storage/types.ts";
import { AnsweredCalls } from "./groups/answered-calls.ts";
import { Arrivals } from "./handoffs/arrivals.ts";
import type { Connected } from "./connected.ts";
import { damagedError } from "./damage.ts";
import type { ErasedFiles } from "./erasing/erased-files.ts";
import { GroupHeads } from "./groups/group-heads.ts";
import { GroupState } from "./state/group-state.ts";
import type { GroupMirrors } from "./group-mirror.ts";
import { GroupTurns } from "./groups/group-turns.ts";
import { ledgerOf, type HandoffLedger } from "./handoffs/handoff-ledger.ts";
import type { LoadBudget } from "./state/load-budget.ts";
import type { MarkTurns } from "./marks/mark-turns.ts";
import { Marks } from "./marks/marks.ts";
import type { Random } from "../base/random.ts";
import type { Ranks } from "./ranks.ts";
import type { Refusals, RefusalState } from "./refusals.ts";
import { GroupUnread } from "./reading/group-unread.ts";
import type { Session } from "./session.ts";
import type { GroupChanged } from "./messages/ask.ts";
import type { ShardRouter } from "./messages/shard-router.ts";
import { StateTable } from "./state/state-table.ts";
import { hasAllSendTokens } from "./sending/send-tokens.ts";
import type { StoredCounts } from "./sending/stored-counts.ts";
import { WaitingPosts } from "./sending/waiting-posts.ts";
import { UserState } from "./state/user-state.ts";

/** What a node lends to each of its shards. */
export type ShardParts = {
  clock: Clock;
  ids: MessageIds;
  limits: Limits;
  logger: Logger;
  refusals: Refusals;
  /** One order over all shards of the node. */
  ranks: Ranks;
  random: Random;
  /** Runs work that reads much in steps. */
  turns: StepTurns;
  router: ShardRouter;
  /** Counts stored bytes, one user after the other. */
  storedCounts: StoredCounts;
  erasedFiles: ErasedFiles;
  mirrors: GroupMirrors;
  connected: Connected;
  /** Says when marks are written. */
  markTurns: MarkTurns;
  /** Of users and groups together. */
  stateBudget: LoadBudget;
  shardOf(address: Address): ShardId;
  /** @throws CorruptionError if the shard is damaged */
  logOf(shard: ShardId): ShardLog;
  /** A command asked for damaged data. */
  onDamageMet(shard: ShardId): void;
  /** Why no command may begin in the shard of this log, in addition to `refusals`; undefined if it may. */
  shortageOf(log: ShardLog): RefusalState | undefined;
  /** Asks for a write of the log soon, although no record was appended yet. */
  schedule(): void;
  /** Handoffs of the shard were not accepted, or one before them is missing. */
  offerSoon(shard: Shard): void;
};

/** The home shard of the calling user; all else of the call runs there. @throws AppError unavailable */
export type Home = (user: UserId) => Shard;

/** Groups that a shard may load before their numbers reach those of another life of the shard. */
const GROUP_LIVES = 2 ** 20;

export class Shard {
  readonly id: ShardId;
  readonly clock: Clock;
  readonly ids: MessageIds;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly refusals: Refusals;
  readonly ranks: Ranks;
  readonly turns: StepTurns;
  readonly router: ShardRouter;
  readonly storedCounts: StoredCounts;
  readonly erasedFiles: ErasedFiles;
  readonly users: StateTable<UserId, UserState>;
  readonly groups: StateTable<GroupAddress, GroupState>;
  /** Heads of groups, loaded or not. */
  readonly heads: GroupHeads;
  /** What members have not read in groups of this shard. */
  readonly groupUnread = new GroupUnread();
  /** Users whose creation is on its way to the log. */
  readonly creating = new Set<UserId>();
  /** Handoffs to users that are being loaded. */
  readonly arrivals: Arrivals<UserId, UserState>;
  /** Posts to groups that are being loaded. */
  readonly groupArrivals: Arrivals<GroupAddress, GroupState>;
  /** Posts of users of this shard. */
  readonly posts: WaitingPosts;
  readonly groupTurns = new GroupTurns();
  /** Changes of groups. */
  readonly groupCalls = new AnsweredCalls<GroupChanged>();
  readonly mirrors: GroupMirrors;
  readonly marks: Marks;
  #groupLife: number;
  #ledger: HandoffLedger | undefined;
  /** The log that everything in memory belongs to. */
  #log: ShardLog | undefined;
  #isEnded = false;
  readonly #parts: ShardParts;

  constructor(id: ShardId, parts: ShardParts) {
    this.id = id;
    this.#parts = parts;
    this.clock = parts.clock;
    this.ids = parts.ids;
    this.limits = parts.limits;
    this.logger = parts.logger;
    this.refusals = parts.refusals;
    this.ranks = parts.ranks;
    this.turns = parts.turns;
    this.router = parts.router;
    this.storedCounts = parts.storedCounts;
    this.erasedFiles = parts.erasedFiles;
    this.mirrors = parts.mirrors;
    this.users = new StateTable(
      (user) => this.#loadUser(user),
      (user) => user.isIdle && hasAllSendTokens(this, user),
      parts.stateBudget,
    );
    this.groups = new StateTable(
      (group) => this.#loadGroup(group),
      (group) => group.isIdle,
      parts.stateBudget,
    );
    this.heads = new GroupHeads(this.groups, (group) => this.logFor(group));
    const life = Buffer.from(parts.random.bytes(4)).readUInt32LE();
    this.posts = new WaitingPosts(this.clock, { id: life, rank: parts.ranks.last });
    this.#groupLife = life * GROUP_LIVES;
    this.arrivals = new Arrivals(this.users, this.turns);
    this.groupArrivals = new Arrivals(this.groups, this.turns);
    this.marks = new Marks(this, parts.markTurns);
  }

  /** @throws AppError unavailable if the shard is damaged */
  get log(): ShardLog {
    const log = this.#log;
    if (log !== undefined && !log.isClosed) return log;
    return this.logFor(undefined);
  }

  /**
   * The log, for something that concerns `address`.
   * @throws AppError unavailable, naming `address`, if the shard is damaged. Also if the shard was opened anew: then
   * another object is the shard, and both would number the same records
   */
  logFor(address: Address | undefined): ShardLog {
    let log: ShardLog;
    try {
      log = this.#parts.logOf(this.id);
    } catch (error) {
      throw this.#damagedOr(error, address);
    }
    if (log !== (this.#log ??= log)) throw openedAnew();
    return log;
  }

  /** Handoffs of this shard that are not confirmed yet. @throws AppError unavailable if the shard is damaged */
  get ledger(): HandoffLedger {
    return (this.#ledger ??= ledgerOf(this.log));
  }

  /** Why no command may begin; undefined if it may. Read for every message. */
  get refusal(): RefusalState | undefined {
    return this.refusals.standing ?? this.#parts.shortageOf(this.log);
  }

  /** @throws AppError unavailable, with the reason, if no command may begin */
  mustAcceptWrites(): void {
    const { refusal } = this;
    if (refusal !== undefined) throw this.refusals.error(refusal);
  }

  /** From now on the session is told what concerns its user. Does nothing if the user is gone. */
  attach(session: Session): void {
    const user = this.users.get(session.user);
    if (user !== undefined) this.#parts.connected.attach(user, session);
  }

  detach(session: Session): void {
    const user = this.users.peek(session.user);
    if (user !== undefined) this.#parts.connected.detach(user, session);
  }

  /** The shard leaves memory: only callers that wait for a reply are still told. */
  end(): void {
    this.#isEnded = true;
    this.posts.stop();
  }

  /** Asks for a write of the log soon, although no record was appended yet. */
  schedule(): void {
    this.#parts.schedule();
  }

  /** A handoff was not accepted: it is offered again, from the log. */
  offerSoon(): void {
    if (!this.#isEnded) this.#parts.offerSoon(this);
  }

  /** A user or group that lives here, loaded at once. */
  stateOf(address: Address): UserState | GroupState | undefined {
    return isGroup(address) ? this.groups.get(address) : this.users.get(nameOf(address) as UserId);
  }

  peekState(address: Address): UserState | GroupState | undefined {
    return isGroup(address) ? this.groups.peek(address) : this.users.peek(nameOf(address) as UserId);
  }

  #loadUser(user: UserId): Steps<UserState | undefined> {
    const address = userAddress(user);
    return this.#loading(address, () => UserState.load(user, address, this.logFor(address), this.clock.monotonicMs()));
  }

  *#loadGroup(address: GroupAddress): Steps<GroupState | undefined> {
    const group = yield* this.#loading(address, () => GroupState.load(address, this.logFor(address)));
    if (group !== undefined) group.life = ++this.#groupLife;
    return group;
  }

  *#loading<State extends { readonly lastRank: number }>(
    address: Address,
    load: () => Steps<State | undefined>,
  ): Steps<State | undefined> {
    assert(this.#parts.shardOf(address) === this.id, `${address} lives in shard ${this.id}`);
    try {
      const state = yield* load();
      // The shard may have come from another node, or from a backup, with ranks above those of this node.
      if (state !== undefined) this.ranks.observe(state.lastRank);
      return state;
    } catch (error) {
      throw this.#damagedOr(error, address);
    }
  }

  #damagedOr(error: unknown, address: Address | undefined): unknown {
    if (!(error instanceof CorruptionError)) return error;
    this.#parts.onDamageMet(this.id);
    return damagedError(error, address);
  }
}

const openedAnew = (): AppError =>
  new AppError("unavailable", "the shard was opened anew; try again", { retryAfterMs: 1000 });
