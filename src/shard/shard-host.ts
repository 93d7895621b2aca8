/**
 * The shards that this node owns, opened: users and groups as folds of their logs, loaded when they are needed.
 *
 * Not here: what commands do (send-direct.ts, post-group.ts, marks.ts, group-changes.ts) and who may (src/service).
 *
 * When the log fails, all of it is dropped and opened anew from what is on disk: nothing in memory is trusted after a failed write.
 */
import type { Clock } from "../base/clock.ts";
import { StepTurns, type Steps } from "../base/steps.ts";
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
import { CLOSE } from "../protocol/codes.ts";
import type { Limits } from "../protocol/frames.ts";
import type { Damage } from "../../storage/shard/damaged-shards.ts";
import { CorruptionError } from "../../storage/errors.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "../../storage/store-options.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import { writeCell } from "../../storage/encoding/record.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { GroupHeads } from "./group-heads.ts";
import { damagedError, DamageLog } from "./damage.ts";
import { GroupState } from "./group-state.ts";
import { CELLS_LAG_MAX, isShardStream } from "./cells.ts";
import { Marks } from "./marks.ts";
import { Ranks, RANKS_SHARD } from "./ranks.ts";
import { Refusals, type RefusalState } from "./refusals.ts";
import type { Session } from "./session.ts";
import type { Shards } from "./shards.ts";
import { StateTable } from "./state-table.ts";
import { StoredCounts } from "./stored-counts.ts";
import { UserState } from "./user-state.ts";

export type ShardHostPorts = {
  clock: Clock;
  ids: MessageIds;
  limits: Limits;
  logger: Logger;
  /** The node's; it outlives a host whose log fails. */
  refusals?: Refusals;
  /** Idle users above it are dropped from memory. Default 100,000. */
  usersLoadedMax?: number;
};

const USERS_LOADED_MAX = 100_000;
const GROUPS_LOADED_MAX = 20_000;
const FLUSH_FAILURE_EVERY_MS = 60_000;

export class ShardHost implements Shards {
  readonly clock: Clock;
  readonly ids: MessageIds;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly refusals: Refusals;
  readonly marks: Marks;
  readonly users: StateTable<UserId, UserState>;
  readonly groups: StateTable<GroupAddress, GroupState>;
  readonly groupHeads: GroupHeads;
  readonly ranks: Ranks;
  readonly turns: StepTurns;
  readonly storedCounts: StoredCounts;
  #store: LogStore | undefined;
  readonly #damageLog: DamageLog;
  #flushFailureToldAt = Number.NEGATIVE_INFINITY;

  /**
   * @param onFailure told once, when the log cannot be written any more
   * @param failed the one before, whose log has failed: it can be read until this one is there
   */
  static async open(
    storage: LogStoreOptions,
    ports: ShardHostPorts,
    onFailure: (error: Error) => void,
    failed?: ShardHost,
  ): Promise<ShardHost> {
    failed?.marks.stop();
    failed?.storedCounts.stop();
    const host = new ShardHost(ports);
    const hooks: LogStoreHooks = {
      checkpoint: (log) => host.#checkpoint(log),
      beforeWrite: () => host.marks.write(),
      onFlushFailure: (error) => host.#flushFailed(error),
      onListenerError: (error) => ports.logger.error("what followed a commit failed", { error }),
      onFailure,
      onDamage: (damages) => host.#closeShards(damages),
    };
    host.#store = failed === undefined ? await openLogStore(storage, hooks) : await failed.store.reopen(hooks);
    host.#beginRanks();
    return host;
  }

  private constructor({ clock, ids, limits, logger, refusals, usersLoadedMax = USERS_LOADED_MAX }: ShardHostPorts) {
    this.clock = clock;
    this.ids = ids;
    this.limits = limits;
    this.logger = logger;
    this.refusals = refusals ?? new Refusals({ clock, logger });
    this.#damageLog = new DamageLog(clock, logger);
    this.turns = new StepTurns(clock);
    this.marks = new Marks(this);
    this.storedCounts = new StoredCounts(this);
    this.users = new StateTable(
      (user: UserId) => {
        const address = userAddress(user);
        return this.#loading(address, () => UserState.load(user, address, this.log(address), clock.monotonicMs()));
      },
      (user) =>
        user.sessions.size === 0 &&
        user.nextSeq === user.headSeq + 1 &&
        user.pendingSends.length === 0 &&
        user.pendingMarks === 0 &&
        !user.isDirty,
      usersLoadedMax,
    );
    this.groups = new StateTable(
      (group: GroupAddress) => this.#loading(group, () => GroupState.load(group, this.log(group))),
      (group) =>
        group.nextSeq === group.headSeq + 1 && group.changesWaiting === 0 && group.pendingMarks === 0 && !group.isDirty,
      GROUPS_LOADED_MAX,
    );
    this.ranks = new Ranks(() => this.store.shard(RANKS_SHARD));
    this.groupHeads = new GroupHeads(this.groups, (group) => this.log(group));
  }

  get store(): LogStore {
    return this.#store!;
  }

  /** Why nothing new may begin; undefined while it may. Asked for every message. */
  get refusal(): RefusalState | undefined {
    const { standing } = this.refusals;
    if (standing !== undefined || this.store.pressure <= 1) return standing;
    return this.store.shortage;
  }

  /** @throws AppError unavailable, with the reason, when nothing new may begin */
  mustTakeWrites(): void {
    const { refusal } = this;
    if (refusal !== undefined) throw this.refusals.error(refusal);
  }

  /** The log of the shard that an address lives in. @throws AppError unavailable when that shard is damaged */
  log(address: Address): ShardLog {
    const shard = shardOf(address);
    try {
      return this.store.shard(shard);
    } catch (error) {
      throw this.#damagedOr(error, address);
    }
  }

  *#loading<State extends { readonly lastRank: number }>(
    address: Address,
    load: () => Steps<State | undefined>,
  ): Steps<State | undefined> {
    try {
      const state = yield* load();
      // Its shard may have come from another node, or from a backup, with ranks above those of this node.
      if (state !== undefined) this.ranks.observe(state.lastRank);
      return state;
    } catch (error) {
      throw this.#damagedOr(error, address);
    }
  }

  #damagedOr(error: unknown, address: Address): unknown {
    if (!(error instanceof CorruptionError)) return error;
    this.#damageLog.asked(shardOf(address));
    return damagedError(error, address);
  }

  /** The user behind `@name`. */
  userAt(address: Address): UserState | undefined {
    return this.users.get(nameOf(address) as UserId);
  }

  schedule(): void {
    this.store.schedule();
  }

  attach(session: Session): void {
    this.users.get(session.user)?.sessions.add(session);
  }

  detach(session: Session): void {
    this.users.peek(session.user)?.sessions.delete(session);
  }

  /** Every session of every user. */
  *sessions(): Iterable<Session> {
    for (const user of this.users.loaded()) yield* user.sessions;
  }

  /** What is loaded of them is dropped, and whoever is connected there is sent away. */
  #closeShards(damages: readonly Damage[]): void {
    this.#damageLog.found(damages);
    const closed = new Set(damages.map(({ shard }) => shard));
    const users = this.users.forget(
      ({ log }) => closed.has(log.shard),
      (user) => closed.has(shardOf(userAddress(user))),
    );
    this.groups.forget(
      ({ log }) => closed.has(log.shard),
      (group) => closed.has(shardOf(group)),
    );
    for (const { sessions, address } of users) {
      const { message, retryAfterMs } = damagedError(undefined, address);
      for (const session of [...sessions]) session.close(CLOSE.tryLater, message, retryAfterMs);
    }
  }

  /** Where that shard is damaged the order goes on from the clock, and from what is loaded. */
  #beginRanks(): void {
    try {
      this.ranks.begin();
    } catch (error) {
      this.logger.error("the order of conversations goes on from the clock", { error });
    }
  }

  /** Tried every second, while a disk is full perhaps for hours: the program's log must not fill it, too. */
  #flushFailed(error: unknown): void {
    const now = this.clock.monotonicMs();
    if (now - this.#flushFailureToldAt < FLUSH_FAILURE_EVERY_MS) return;
    this.#flushFailureToldAt = now;
    this.logger.warn("flush failed, trying again", { error });
  }

  /** Derived cells of every stream in the memtable that is about to be flushed. */
  #checkpoint(log: ShardLog): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(Buffer.allocUnsafeSlow(4096));
    for (const stream of log.memtable.streams.values()) {
      if (stream.entryCount === 0 || isShardStream(stream.name)) continue;
      const address = stream.name as Address;
      // Nobody has loaded it since the log was read back: a later load folds these few as well, and loading hundreds now would stop the event loop.
      if (stream.entryCount < CELLS_LAG_MAX && !this.#isLoaded(address)) continue;
      this.#writeCells(out, address);
    }
    return new Uint8Array(out.bytes.subarray(0, out.pos));
  }

  /** Derived cells may come later. A stream whose cells cannot be encoded must not keep its shard from being flushed, and the log from being trimmed. */
  #writeCells(out: ByteWriter, address: Address): void {
    const { pos } = out;
    try {
      this.#stateOf(address)?.writeCellsForFlush((key, value) => writeCell(out, address, key, value));
    } catch (error) {
      out.pos = pos;
      this.logger.error("derived cells could not be written", { address, error });
    }
  }

  #isLoaded(address: Address): boolean {
    if (isGroup(address)) return this.groups.peek(address) !== undefined;
    return this.users.peek(nameOf(address) as UserId) !== undefined;
  }

  #stateOf(address: Address): UserState | GroupState | undefined {
    return isGroup(address) ? this.groups.get(groupAddress(nameOf(address) as GroupId)) : this.userAt(address);
  }
}
