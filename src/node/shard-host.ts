/**
 * The open shards of this node: users and groups as folds of their logs, loaded on demand.
 *
 * Not here: what commands do (send-direct.ts, post-group.ts, marks.ts, group-changes.ts) and who may (src/home).
 *
 * When the log fails, the whole host is dropped and opened anew from disk: after a failed write nothing in memory is
 * trusted.
 */
import type { Clock } from "../base/clock.ts";
import { atOnce, StepTurns, type Steps } from "../base/steps.ts";
import { AppError } from "../base/errors.ts";
import { systemRandom, type Random } from "../base/random.ts";
import type { Logger } from "../base/logger.ts";
import {
  groupAddress,
  isGroup,
  nameOf,
  shardOf,
  userAddress,
  type Address,
  type GroupAddress,
  type GroupId,
  type UserId,
} from "../domain/address.ts";
import type { MessageIds } from "../domain/message-id.ts";
import { CLOSE, type CloseCode } from "../protocol/codes.ts";
import type { Limits } from "../protocol/frames.ts";
import type { Damage } from "../../storage/shard/damaged-shards.ts";
import { FencedError, type LogFailure } from "../../storage/errors.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "../../storage/store-options.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import { writeCell } from "../../storage/encoding/record.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { ALL_SHARDS, type ShardId } from "../../storage/types.ts";
import { ErasedFiles } from "../home/erasing/erased-files.ts";
import { FailedShards } from "./failed-shards.ts";
import type { GroupHeads } from "../home/groups/group-heads.ts";
import { Connected } from "../home/connected.ts";
import { damagedError, isDamage, unlessDamaged } from "../home/damage.ts";
import { DamageLog } from "./damage-log.ts";
import { LoadBudget } from "../home/state/load-budget.ts";
import type { GroupMirrors } from "../home/group-mirror.ts";
import { LocalMirrors } from "./local-mirrors.ts";
import type { MirrorParts } from "../home/mirrors/mirror-parts.ts";
import { LocalRouter } from "./local-router.ts";
import { handedOffThrough } from "../home/handoffs/handoff-ledger.ts";
import { offerAgain } from "../home/handoffs/handoffs.ts";
import type { ShardRouter } from "../home/messages/shard-router.ts";
import { Offers } from "../home/handoffs/offers.ts";
import { Shard, type ShardParts } from "../home/shard.ts";
import type { GroupState } from "../home/state/group-state.ts";
import { CELLS_LAG_MAX, isShardStream } from "../home/state/cells.ts";
import { MarkTurns } from "../home/marks/mark-turns.ts";
import { Ranks, RANKS_SHARD } from "../home/ranks.ts";
import { Refusals, type RefusalState } from "../home/refusals.ts";
import type { Session } from "../home/session.ts";
import { AllStates } from "./all-states.ts";
import type { States } from "../home/state/state-table.ts";
import { StoredCounts } from "../home/sending/stored-counts.ts";
import type { UserState } from "../home/state/user-state.ts";

export type ShardHostPorts = {
  clock: Clock;
  ids: MessageIds;
  limits: Limits;
  logger: Logger;
  /** The node's refusals, which outlive a host whose log fails. */
  refusals?: Refusals;
  /** Estimated bytes of users and groups in memory above which idle ones are dropped. Default 128 MiB. */
  stateBytesMax?: number;
  random?: Random;
  /** How the members' shards see groups. Default: the groups' own states, since all groups are on this node. */
  mirrors?: (parts: MirrorParts, local: GroupMirrors) => GroupMirrors;
  /** The shards of this node. Default: all. */
  ownership?: Ownership;
  /** Wraps the router of this node, for tests. */
  router?: (local: ShardRouter) => ShardRouter;
};

/** Which shards this node owns, at this moment. */
export type Ownership = {
  /** @param log of the shard; its records decide who may write */
  isHere(shard: ShardId, log: () => ShardLog): boolean;
  /** By the map. */
  shards(): readonly ShardId[];
};

const ALL: Ownership = { isHere: () => true, shards: () => ALL_SHARDS };

const STATE_BYTES_MAX = 128 << 20;
/** When clients of a shard that has moved come back. */
const MOVED_MS = 20;
const FLUSH_FAILURE_EVERY_MS = 60_000;

export class ShardHost {
  readonly clock: Clock;
  readonly ids: MessageIds;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly refusals: Refusals;
  readonly markTurns: MarkTurns;
  readonly users: States<UserId, UserState>;
  readonly groups: States<GroupAddress, GroupState>;
  readonly groupHeads: Pick<GroupHeads, "of" | "forget">;
  readonly ranks: Ranks;
  readonly turns: StepTurns;
  readonly storedCounts: StoredCounts;
  readonly erasedFiles = new ErasedFiles(() => this.store.pendingErasures().length > 0);
  readonly connected = new Connected();
  readonly #ownership: Ownership;
  readonly #shards: (Shard | undefined)[] = [];
  /** Shards whose last record was appended here. */
  readonly #released = new Set<ShardId>();
  readonly #shardParts: ShardParts;
  readonly #offers: Offers;
  readonly #failedShards: FailedShards;
  #store: LogStore | undefined;
  readonly #damageLog: DamageLog;
  #isStopped = false;
  #flushFailureToldAt = Number.NEGATIVE_INFINITY;

  /**
   * @param onFailure called once, when the log cannot be written any more
   * @param failed the former host, whose log has failed: it can be read until this one is open
   */
  static async open(
    storage: LogStoreOptions,
    ports: ShardHostPorts,
    onFailure: (error: Error) => void,
    failed?: ShardHost,
  ): Promise<ShardHost> {
    failed?.stop();
    const host = new ShardHost(ports);
    const hooks: LogStoreHooks = {
      checkpoint: (log) => host.#checkpoint(log),
      beforeWrite: () => host.markTurns.write(),
      onFlushFailure: (error) => host.#flushFailed(error),
      onListenerError: (error) => ports.logger.error("a listener of a commit failed", { error }),
      onFailure: (error, shards) => host.#failed(error, shards, onFailure),
      onDamage: (damages) => host.#closeShards(damages),
    };
    host.#store = failed === undefined ? await openLogStore(storage, hooks) : await failed.store.reopen(hooks);
    if (host.store.recovery.records > 0) host.erasedFiles.recovered();
    host.#beginRanks();
    return host;
  }

  private constructor({
    clock,
    ids,
    limits,
    logger,
    refusals,
    stateBytesMax = STATE_BYTES_MAX,
    router = (local) => local,
    random = systemRandom,
    mirrors: mirrorsOf,
    ownership = ALL,
  }: ShardHostPorts) {
    this.#ownership = ownership;
    this.clock = clock;
    this.ids = ids;
    this.limits = limits;
    this.logger = logger;
    this.refusals = refusals ?? new Refusals({ clock, logger });
    this.#damageLog = new DamageLog(clock, logger);
    this.turns = new StepTurns(clock);
    this.markTurns = new MarkTurns(clock, () => this.schedule());
    this.storedCounts = new StoredCounts({ clock, logger, turns: this.turns });
    this.ranks = new Ranks(() => this.#ranksLog());
    this.users = new AllStates((user: UserId) => this.shard(shardOf(userAddress(user))).users);
    this.groups = new AllStates((group: GroupAddress) => this.shard(shardOf(group)).groups);
    this.groupHeads = {
      of: (group) => this.shard(shardOf(group)).heads.of(group),
      forget: (group) => this.shard(shardOf(group)).heads.forget(group),
    };
    const shard = (id: ShardId): Shard => this.shard(id);
    const { connected, turns } = this;
    const local = new LocalMirrors(shard, connected, (id) => this.owns(id));
    const mirrors =
      mirrorsOf?.({ connected, router: () => this.#shardParts.router, clock, turns, logger }, local) ?? local;
    this.#offers = new Offers(clock, logger);
    this.#failedShards = new FailedShards({
      clock,
      logger,
      reopen: (id) => this.store.reopenShard(id, () => this.#dropReopened(id)),
      onReopened: (id) => this.#reopened(id),
    });
    this.#shardParts = {
      clock,
      ids,
      limits,
      logger,
      refusals: this.refusals,
      ranks: this.ranks,
      random,
      turns: this.turns,
      storedCounts: this.storedCounts,
      erasedFiles: this.erasedFiles,
      router: router(
        new LocalRouter({ shard, isOneOrder: () => this.store.isOneOrder, connected, mirrors, turns: this.turns }),
      ),
      mirrors,
      connected: this.connected,
      markTurns: this.markTurns,
      stateBudget: new LoadBudget(stateBytesMax),
      logOf: (id) => this.store.shard(id),
      onDamageMet: (id) => this.#damageLog.asked(id),
      shortageOf: (log) => this.#shortageOf(log),
      schedule: () => this.schedule(),
      shardOf,
      offerSoon: (from) => this.#offers.soon(from),
    };
  }

  get store(): LogStore {
    return this.#store!;
  }

  /** Stops all background writes. Call it before the log is closed. */
  stop(): void {
    this.markTurns.stop();
    this.storedCounts.stop();
    this.#offers.stop();
    this.#shardParts.mirrors.stop();
    this.#failedShards.stop();
    for (const shard of this.shards()) shard.end();
    this.#isStopped = true;
  }

  /** One shard. If it is damaged, access to its log throws. @throws AppError unavailable if it is not this node's */
  shard(id: ShardId): Shard {
    return this.#shards[id] ?? this.#begin(id);
  }

  #begin(id: ShardId): Shard {
    if (!this.owns(id)) throw notHere(id);
    return (this.#shards[id] = new Shard(id, this.#shardParts));
  }

  /**
   * Ends this node's ownership: `last` appends the last record, and nothing follows it. The shard's users are sent to its
   * next owner. What was appended before still takes effect.
   * @param url where clients reach that owner, if they do
   */
  release<T>(id: ShardId, last: (log: ShardLog) => T, words: string, url?: string): T {
    const log = this.store.shard(id);
    this.markTurns.hurry();
    this.markTurns.write();
    // The last record is not durable yet, and nothing may begin meanwhile.
    this.#released.add(id);
    const result = last(log);
    log.close(new FencedError(id, words));
    this.#closeShard(id, () => new AppError("unavailable", words, { retryAfterMs: MOVED_MS }), CLOSE.moved, url);
    return result;
  }

  /** Sends members of the shard's groups who are connected here away: they come back with their cursors. */
  *sendMembersOf(id: ShardId): Steps<void> {
    const seen = new Set<UserId>();
    for (const session of [...this.sessions()]) {
      if (seen.has(session.user)) continue;
      seen.add(session.user);
      const user = this.users.peek(session.user);
      if (user === undefined || !isInGroupOf(user, id)) continue;
      for (const one of [...user.sessions]) one.close(CLOSE.moved, "a group has moved to another node", MOVED_MS);
      yield;
    }
  }

  /** The shard is this node's from now on: its handoffs are offered. */
  begun(id: ShardId): void {
    this.#released.delete(id);
    this.ranks.observeLog(this.store.shard(id));
    this.#reopened(id);
  }

  /** Whether this node serves the shard. */
  owns(id: ShardId): boolean {
    if (this.#released.has(id)) return false;
    return this.#shards[id] !== undefined || this.#ownership.isHere(id, () => this.store.shard(id));
  }

  /** The shard of who acts. */
  home(user: UserId): Shard {
    return this.shard(shardOf(userAddress(user)));
  }

  /** The shard that an address lives in. */
  ownerOf(address: Address): Shard {
    return this.shard(shardOf(address));
  }

  /** Ids of the shards that this node owns, most of which are not in use yet. */
  ownedShards(): readonly ShardId[] {
    return this.#ownership.shards();
  }

  /** Shards that are in use. */
  *shards(): Iterable<Shard> {
    for (const shard of this.#shards) if (shard !== undefined) yield shard;
  }

  /** Shards in use that are not damaged. */
  *wholeShards(): Iterable<Shard> {
    for (const shard of this.shards()) if (!this.store.isDamaged(shard.id)) yield shard;
  }

  /** Drops loaded states, after the log was changed without them. */
  forgetStates(): void {
    for (const { users, groups } of this.shards()) {
      users.clear();
      groups.clear();
    }
  }

  /**
   * After a start: offers handoffs that the log does not show as confirmed, and waits until they have arrived. @returns
   * how many were offered
   */
  async offerAll(run: <T>(steps: Steps<T>) => T | Promise<T> = atOnce): Promise<number> {
    const offered = await run(this.#offering());
    await this.arrivalsIdle();
    await this.store.idle();
    return offered;
  }

  *#offering(): Steps<number> {
    let offered = 0;
    for (const { shard } of this.store.opened()) {
      if (!this.owns(shard)) continue;
      offered += yield* this.#offerShard(this.shard(shard));
      yield;
    }
    return offered;
  }

  *#offerShard(shard: Shard): Steps<number> {
    try {
      shard.ledger.begin(handedOffThrough(shard.log), shard.log.durableThrough);
      shard.marks.offerUntold();
      return yield* offerAgain(shard);
    } catch (error) {
      // A damaged shard is closed now; the others go on.
      if (this.store.isDamaged(shard.id)) return 0;
      throw error;
    }
  }

  /** Drops idle users and groups above the bound of memory. Call it every second. */
  lookForIdle(): void {
    this.#shardParts.stateBudget.look();
  }

  /** Offers handoffs again that were not confirmed for a while. Call it every second. */
  lookForHandoffs(): void {
    this.#offers.look(this.wholeShards());
  }

  /** A node that was away is back: unconfirmed handoffs are offered soon. */
  hurryOffers(): void {
    this.#offers.look(this.wholeShards());
    this.#offers.hurry();
  }

  /**
   * After a start, one shard a step: a shard's handoffs may not have been accepted before, although nothing has used
   * the shard since.
   */
  *lookAtAllShards(): Steps<void> {
    for (const id of this.ownedShards()) {
      if (this.#isStopped) return;
      if (!this.store.isDamaged(id) && this.owns(id)) unlessDamaged(() => this.shard(id).ledger);
      yield;
    }
  }

  /** Resolves when no handoff waits for its receiver to load. */
  async arrivalsIdle(): Promise<void> {
    for (const { arrivals, groupArrivals } of this.shards()) {
      await arrivals.idle();
      await groupArrivals.idle();
    }
  }

  /** Why new writes are refused; undefined while they are accepted. Called for every message. */
  get refusal(): RefusalState | undefined {
    const { standing } = this.refusals;
    if (standing !== undefined || this.store.pressure <= 1) return standing;
    return this.store.shortage;
  }

  /** @throws AppError unavailable, with the reason, when new writes are refused */
  mustTakeWrites(): void {
    const { refusal } = this;
    if (refusal !== undefined) throw this.refusals.error(refusal);
  }

  /** The log of the shard that an address lives in. @throws AppError unavailable when that shard is damaged */
  log(address: Address): ShardLog {
    try {
      return this.shard(shardOf(address)).log;
    } catch (error) {
      if (isDamage(error)) throw damagedError((error as Error).cause, address);
      throw error;
    }
  }

  /** The user behind `@name`. */
  userAt(address: Address): UserState | undefined {
    return this.users.get(nameOf(address) as UserId);
  }

  schedule(): void {
    this.store.schedule();
  }

  attach(session: Session): void {
    this.home(session.user).attach(session);
  }

  detach(session: Session): void {
    this.home(session.user).detach(session);
  }

  /** Every session of every user. */
  sessions(): Iterable<Session> {
    return this.connected.all();
  }

  /** Drops the loaded states of these shards, and disconnects their users. */
  #closeShards(damages: readonly Damage[]): void {
    this.#damageLog.found(damages);
    for (const { shard } of damages) this.#closeShard(shard, ({ address }) => damagedError(undefined, address));
  }

  /** Drops the states of a shard. @param why the reason that its connected users get */
  #closeShard(id: ShardId, why: (user: UserState) => AppError, code: CloseCode = CLOSE.tryLater, url?: string): void {
    const shard = this.#shards[id];
    if (shard === undefined) return;
    this.#shards[id] = undefined;
    shard.marks.forget();
    for (const user of shard.users.end()) {
      const { message, retryAfterMs } = why(user);
      for (const session of [...user.sessions]) {
        session.close(code, message, retryAfterMs, url);
        this.connected.detach(user, session);
      }
    }
    shard.groups.end();
    shard.end();
    this.#offers.forget(shard);
  }

  /** Called when the log has failed, for all shards or some. */
  #failed(error: LogFailure, shards: readonly ShardId[], onFailure: (error: Error) => void): void {
    if (this.#store === undefined || this.store.failed !== undefined) return onFailure(error);
    this.#failedShards.failed(error, shards);
  }

  /** State in memory is out of date. Called in the same turn in which the shard's log is replaced. */
  #dropReopened(id: ShardId): void {
    for (const group of this.#shards[id]?.groups.loaded() ?? []) this.#sendMembersAway(group);
    this.#closeShard(id, () => this.refusals.error("log failed"));
  }

  /** Entries that were being written when the log failed may be in it, and no member was notified: members catch up. */
  #sendMembersAway({ headSeq, nextSeq, members }: GroupState): void {
    if (nextSeq === headSeq + 1) return;
    const { message, retryAfterMs } = this.refusals.error("log failed");
    for (const user of members.keys())
      for (const session of [...(this.connected.of(user) ?? [])]) session.close(CLOSE.tryLater, message, retryAfterMs);
  }

  /**
   * Appended records that were not written are lost: handoffs are offered again, and devices reconnect with their
   * cursors.
   */
  #reopened(id: ShardId): void {
    this.turns.run(this.#offerShard(this.shard(id))).catch((error: unknown) => {
      this.logger.error("handoffs could not be offered again", { shard: id, error });
    });
  }

  /** The shortage of the whole store, or of this one log if it failed alone. */
  #shortageOf(log: ShardLog): RefusalState | undefined {
    if (this.store.pressure > 1) return this.store.shortage;
    if (log.pressure <= 1) return undefined;
    return log.failure instanceof FencedError ? "taken over" : log.shortage;
  }

  /** If that shard is damaged, ranks continue from the clock and from what is loaded. */
  #beginRanks(): void {
    try {
      this.ranks.begin(this.#ranksLogs());
    } catch (error) {
      this.logger.error("ranks continue from the clock", { error });
    }
  }

  /** Where reservations of ranks are written: in one of this node's shards, so that they move with none of others'. */
  #ranksLog(): ShardLog | undefined {
    const shard = this.owns(RANKS_SHARD) ? RANKS_SHARD : this.ownedShards().find((id) => this.owns(id));
    return shard === undefined ? undefined : this.store.shard(shard);
  }

  /** A node that had other shards before may have reserved ranks in any of its present ones. */
  *#ranksLogs(): Iterable<ShardLog> {
    if (this.ownedShards().length === ALL_SHARDS.length) return yield this.store.shard(RANKS_SHARD);
    for (const id of this.ownedShards()) if (this.owns(id) && !this.store.isDamaged(id)) yield this.store.shard(id);
  }

  /** A flush is retried every second, and a disk may stay full for hours: the server's log must not fill it, too. */
  #flushFailed(error: unknown): void {
    const now = this.clock.monotonicMs();
    if (now - this.#flushFailureToldAt < FLUSH_FAILURE_EVERY_MS) return;
    this.#flushFailureToldAt = now;
    this.logger.warn("flush failed, trying again", { error });
  }

  /** Derived cells of every stream in the memtable that is about to be flushed. */
  #checkpoint(log: ShardLog): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(Buffer.allocUnsafeSlow(4096));
    // Of a shard that comes from another node, or has gone to one, nothing is loaded here.
    if (!this.owns(log.shard)) return new Uint8Array(0);
    for (const stream of log.memtable.streams.values()) {
      if (isShardStream(stream.name)) continue;
      const address = stream.name as Address;
      this.#weigh(address);
      if (stream.entryCount === 0) continue;
      // It was not loaded since the log was read back. A later load folds these few entries as well; loading hundreds
      // of streams now would stop the event loop.
      if (stream.entryCount < CELLS_LAG_MAX && !this.#isLoaded(address)) continue;
      this.#writeCells(out, address);
    }
    return new Uint8Array(out.bytes.subarray(0, out.pos));
  }

  /**
   * Derived cells may be written later. If a stream's cells cannot be encoded, its shard is still flushed and the log
   * trimmed.
   */
  #writeCells(out: ByteWriter, address: Address): void {
    const { pos } = out;
    try {
      this.#stateOf(address)?.writeCellsForFlush((key, value) => writeCell(out, address, key, value));
    } catch (error) {
      out.pos = pos;
      this.logger.error("derived cells could not be written", { address, error });
    }
  }

  /** What has grown has records that are not flushed. */
  #weigh(address: Address): void {
    const { users, groups } = this.ownerOf(address);
    if (isGroup(address)) groups.weigh(address);
    else users.weigh(nameOf(address) as UserId);
  }

  #isLoaded(address: Address): boolean {
    if (isGroup(address)) return this.groups.peek(address) !== undefined;
    return this.users.peek(nameOf(address) as UserId) !== undefined;
  }

  #stateOf(address: Address): UserState | GroupState | undefined {
    return isGroup(address) ? this.groups.get(groupAddress(nameOf(address) as GroupId)) : this.userAt(address);
  }
}

function isInGroupOf({ conversations }: UserState, id: ShardId): boolean {
  for (const { address, joinedSeq, shard } of conversations.values())
    if (shard === id && joinedSeq > 0 && isGroup(address)) return true;
  return false;
}

const notHere = (shard: ShardId): AppError =>
  new AppError("unavailable", `shard ${shard} is not served by this node; try again`, { retryAfterMs: 500 });
