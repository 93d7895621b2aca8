/**
 * Shards over a simulated disk and segments in memory that can be stopped, killed and started again, with a clock of
 * the test's own. Counts what segments are asked.
 */
import type { Clock } from "../../src/base/clock.ts";
import { atOnce } from "../../src/base/steps.ts";
import { createLogger } from "../../src/base/logger.ts";
import { shardOf, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import type { Limits } from "../../src/protocol/frames.ts";
import { sendMessage } from "../../src/home/sending/send-message.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { createGroup } from "../../src/home/groups/group-changes.ts";
import type { SendRequest, Sent } from "../../src/home/sending/pending-send.ts";
import { ShardHost, type ShardHostPorts } from "../../src/node/shard-host.ts";
import { MemorySegments } from "../storage/files/memory-segments.ts";
import type { Random } from "../support/random.ts";
import { SimulatedDisk } from "../storage/vfs/simulated-disk.ts";

export type Answer = { sent?: Sent; isDuplicate?: boolean; code?: string };

/** Estimated memory of a user with a few conversations. */
const USER_BYTES = 2000;

export const ID_KEY = new Uint8Array(16);

const fail = (error: unknown): never => {
  throw error;
};

export class RestartedShards {
  host!: ShardHost;
  /** What a calendar shows, ms. */
  wallMs = 1_763_740_800_000;
  /** What has passed, ms; nobody but the test knows it across restarts. */
  passedMs = 0;
  /** Read at each start; undefined: as the store has it. */
  memtableBytesMax: number | undefined;
  /** Questions to segments by name, since the last `asked.clear()`. */
  readonly asked = new Map<string, number>();
  readonly #held = new Map<UserId, Promise<void>>();
  #startedAtMs = 0;
  #disk = new SimulatedDisk();
  #segments = new MemorySegments();
  /** About. */
  readonly #usersLoadedMax: number;
  readonly #limits: Partial<Limits>;
  readonly #router: ShardHostPorts["router"];
  #life = { isOver: false };
  readonly #ids = new MessageIds(ID_KEY);

  constructor(usersLoadedMax = 1000, limits: Partial<Limits> = {}, router?: ShardHostPorts["router"]) {
    this.#usersLoadedMax = usersLoadedMax;
    this.#limits = limits;
    this.#router = router;
  }

  /** Users, a group of them, and others who are not in it. */
  async begin(users: readonly UserId[], group: GroupAddress, others: readonly UserId[] = []): Promise<void> {
    await this.#open();
    for (const user of [...users, ...others]) {
      const profile = encodeProfile(user, { createdAt: this.wallMs, displayName: user });
      await writeUserCells(this.host.home(user), user, [["profile", profile]]);
    }
    const detail = { change: "created", by: users[0]!, at: this.wallMs, name: "Club", members: [...users] } as const;
    await createGroup(this.host.shard(shardOf(group)), group, "e-club", { ...detail, members: [...users] });
    await this.host.arrivalsIdle();
    await this.host.store.idle();
  }

  /** As a socket sends: answered when it is durable. What waits for something holds up what the same user sends behind it. */
  send(from: UserId, request: SendRequest): Promise<Answer> {
    return new Promise((resolve) => {
      const { host } = this;
      // What a killed server had not looked at is lost.
      const begin = (): Promise<void> | undefined =>
        host === this.host ? this.#send(from, request, resolve) : undefined;
      const before = this.#held.get(from);
      const held = before === undefined ? begin() : before.then(begin);
      if (held !== undefined) this.#hold(from, held);
    });
  }

  #hold(from: UserId, held: Promise<void>): void {
    this.#held.set(from, held);
    void held.then(() => {
      if (this.#held.get(from) === held) this.#held.delete(from);
    });
  }

  #send(from: UserId, request: SendRequest, resolve: (answer: Answer) => void): Promise<void> | undefined {
    const reply = {
      session: undefined,
      sent: (sent: Sent, isDuplicate: boolean) => resolve({ sent, isDuplicate }),
      refused: (_ref: string, { code }: { code: string }) => resolve({ code }),
    };
    const rest = sendMessage(this.host.home(from), this.host.users.get(from)!, request, reply);
    return rest && this.host.turns.run(rest);
  }

  async flush(): Promise<void> {
    await this.host.store.flushAll(() => false);
  }

  /** Everything is flushed before. */
  async restart(): Promise<void> {
    await this.flush();
    await this.#close(this.host);
    this.#segments = MemorySegments.of(this.#segments.flushed);
    await this.#open();
  }

  async crash(random: Random): Promise<void> {
    this.#life.isOver = true;
    const left = this.#disk.afterCrash("kill", random);
    const flushed = [...this.#segments.flushed];
    const dead = this.host;
    this.#disk = left;
    this.#segments = MemorySegments.of(flushed);
    await this.#close(dead);
    await this.#open();
  }

  close(): Promise<void> {
    return this.#close(this.host);
  }

  async #close(host: ShardHost): Promise<void> {
    host.stop();
    await host.store.close();
  }

  async #open(): Promise<void> {
    this.#startedAtMs = this.passedMs;
    this.#held.clear();
    const clock: Clock = {
      now: () => this.wallMs,
      monotonicMs: () => this.passedMs - this.#startedAtMs,
      // What would wait, comes in the next turn.
      after(_ms, run) {
        const turn = setImmediate(run);
        return () => clearImmediate(turn);
      },
    };
    const storage = {
      directory: "/data",
      files: this.#disk.files,
      segments: counting(this.#segments, this.asked),
      walFileBytes: 1 << 18,
      markAfterMs: 0,
      ...(this.memtableBytesMax === undefined ? {} : { memtableBytesMax: this.memtableBytesMax }),
    };
    const life = (this.#life = { isOver: false });
    // What is under way when it is killed may say what it likes.
    const failLive = (error: unknown): void => (life.isOver ? undefined : fail(error));
    const logger = createLogger("error", failLive, () => 0);
    const limits = { ...DEFAULT_LIMITS, sendsPerSecond: 1_000_000, sendsBurst: 1_000_000, ...this.#limits };
    const common = { clock, ids: this.#ids, limits, logger, stateBytesMax: this.#usersLoadedMax * USER_BYTES };
    const ports = this.#router === undefined ? common : { ...common, router: this.#router };
    this.host = await ShardHost.open(storage, ports, failLive);
    await this.host.offerAll();
    atOnce(this.host.lookAtAllShards());
  }
}

/** The same, and each call counted by its name. */
function counting(segments: MemorySegments, asked: Map<string, number>): MemorySegments {
  return new Proxy(segments, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        asked.set(String(name), (asked.get(String(name)) ?? 0) + 1);
        return Reflect.apply(value, target, args);
      };
    },
  });
}
