/**
 * Users and groups over a log store, without sockets, services or passwords: `Shards` for the server's own commands, on
 * any number of shards, in the time of the logs. The records are those that a server writes.
 */
import { systemRandom } from "../../src/base/random.ts";
import { StepTurns } from "../../src/base/steps.ts";
import { createLogger } from "../../src/base/logger.ts";
import { randomBytes } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import {
  groupAddress,
  isGroup,
  nameOf,
  shardOf,
  userAddress,
  type Address,
  type GroupAddress,
  type GroupId,
  type UserAddress,
  type UserId,
} from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { ID_KEY_BYTES, MessageIds } from "../../src/domain/message-id.ts";
import { isShardStream } from "../../src/home/state/cells.ts";
import type { GroupHeads } from "../../src/home/groups/group-heads.ts";
import type { GroupState } from "../../src/home/state/group-state.ts";
import { ErasedFiles } from "../../src/home/erasing/erased-files.ts";
import { StoredCounts } from "../../src/home/sending/stored-counts.ts";
import { MarkTurns } from "../../src/home/marks/mark-turns.ts";
import { Ranks } from "../../src/home/ranks.ts";
import { AllStates } from "../../src/node/all-states.ts";
import { Connected } from "../../src/home/connected.ts";
import { LoadBudget } from "../../src/home/state/load-budget.ts";
import { LocalMirrors } from "../../src/node/local-mirrors.ts";
import { LocalRouter } from "../../src/node/local-router.ts";
import { Refusals } from "../../src/home/refusals.ts";
import { Shard, type ShardParts } from "../../src/home/shard.ts";
import type { States } from "../../src/home/state/state-table.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import { writeCell } from "../../storage/encoding/record.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import type { ShardId } from "../../storage/types.ts";
import type { SegmentStore } from "../../storage/files/segment-store.ts";
import { openLog, UNBOUNDED } from "./stores.ts";

/** A clock that stands still until it is set. */
export class LogClock implements Clock {
  #now = 0;

  now(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  /** Delayed work runs when the bench says so. */
  after(): () => void {
    return () => {};
  }

  set(now: number): void {
    this.#now = now;
  }
}

export class CorpusShards {
  readonly clock = new LogClock();
  readonly ids = new MessageIds(randomBytes(ID_KEY_BYTES));
  readonly limits = DEFAULT_LIMITS;
  readonly logger = createLogger(
    "error",
    (line) => void process.stderr.write(line),
    () => 0,
  );
  readonly markTurns = new MarkTurns(this.clock, () => this.schedule());
  readonly users: States<UserId, UserState>;
  readonly groups: States<GroupAddress, GroupState>;
  readonly groupHeads: Pick<GroupHeads, "of" | "forget">;
  readonly ranks = new Ranks(() => this.store.shard(0 as ShardId));
  readonly turns = new StepTurns(this.clock);
  readonly #shardCount: number;
  readonly #shardParts: ShardParts;
  readonly #shards: (Shard | undefined)[] = [];
  #store: LogStore | undefined;

  static async open(directory: string, segments: SegmentStore, shardCount: number): Promise<CorpusShards> {
    const shards = new CorpusShards(shardCount);
    const options = { directory, segments, memtableBytesMax: UNBOUNDED, walBytesMax: UNBOUNDED };
    shards.#store = await openLog(options, {
      checkpoint: (log) => shards.#checkpoint(log),
      beforeWrite: () => shards.markTurns.write(),
    });
    return shards;
  }

  private constructor(shardCount: number) {
    this.#shardCount = shardCount;
    this.users = new AllStates((user: UserId) => this.at(userAddress(user)).users);
    this.groups = new AllStates((group: GroupAddress) => this.at(group).groups);
    this.groupHeads = {
      of: (group) => this.at(group).heads.of(group),
      forget: (group) => this.at(group).heads.forget(group),
    };
    const shard = (id: ShardId): Shard => this.shard(id);
    const { clock, ids, limits, logger, ranks, turns } = this;
    const connected = new Connected();
    const mirrors = new LocalMirrors(shard, connected);
    this.#shardParts = {
      ...{ clock, ids, limits, logger, ranks, turns },
      refusals: new Refusals({ clock, logger }),
      erasedFiles: new ErasedFiles(() => false),
      storedCounts: new StoredCounts({ clock, logger, turns }),
      router: new LocalRouter({ isOneOrder: () => true, shard, connected, mirrors, turns }),
      mirrors,
      connected,
      markTurns: this.markTurns,
      stateBudget: new LoadBudget(UNBOUNDED),
      shardOf: (address) => this.#idOf(address),
      logOf: (id) => this.store.shard(id),
      onDamageMet: () => {},
      shortageOf: () => undefined,
      schedule: () => this.schedule(),
      random: systemRandom,
      offerSoon: () => {},
    };
  }

  /** The product's shards, combined into fewer. */
  shard(id: ShardId): Shard {
    const own = (id % this.#shardCount) as ShardId;
    return (this.#shards[own] ??= new Shard(own, this.#shardParts));
  }

  *loadedUsers(): Iterable<UserState> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.users.loaded();
  }

  at(address: Address): Shard {
    return this.shard(shardOf(address));
  }

  #idOf(address: Address): ShardId {
    return (shardOf(address) % this.#shardCount) as ShardId;
  }

  get store(): LogStore {
    return this.#store!;
  }

  log(address: Address): ShardLog {
    return this.store.shard(this.#idOf(address));
  }

  userAt(address: Address): UserState | undefined {
    return this.users.get(nameOf(address) as UserId);
  }

  schedule(): void {
    this.store.schedule();
  }

  /** As in ShardHost. */
  #checkpoint(log: ShardLog): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(Buffer.allocUnsafeSlow(4096));
    for (const stream of log.memtable.streams.values()) {
      if (stream.entryCount === 0 || isShardStream(stream.name)) continue;
      const state = this.#stateOf(stream.name as UserAddress | GroupAddress);
      state?.writeCellsForFlush((key, value) => writeCell(out, stream.name, key, value));
    }
    return new Uint8Array(out.bytes.subarray(0, out.pos));
  }

  #stateOf(address: Address): UserState | GroupState | undefined {
    return isGroup(address) ? this.groups.get(groupAddress(nameOf(address) as GroupId)) : this.userAt(address);
  }
}
