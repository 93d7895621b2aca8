/**
 * Keeps this node's shards open. When the log fails, what was committed can still be read, and everything that would be written is told `unavailable`. As
 * soon as there is room, the shards are opened anew from what is on disk and take the place of the failed ones, as often as it takes.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { atOnce, StepTurns } from "../base/steps.ts";
import type { Logger } from "../base/logger.ts";
import { CLOSE } from "../protocol/codes.ts";
import { HandoffMarks } from "../home/handoffs/handoffs.ts";
import { REFUSALS, type RefusalSource } from "../home/refusals.ts";
import { closeAll } from "../home/session.ts";
import { ShardHost, type ShardHostPorts } from "./shard-host.ts";
import { DamagedShardError } from "../../storage/errors.ts";
import type { LogStoreOptions } from "../../storage/store-options.ts";

const REOPEN_MS = 1000;
const COME_BACK_MS = 1500;
const HANDOFF_MARKS_MS = 15_000;
const OFFERS_MS = 1000;
/** What was acknowledged until a moved directory is noticed stands in the moved one. */
export const CHECK_DIRECTORY_MS = 1000;

export class ShardKeeper {
  readonly #storage: LogStoreOptions;
  readonly #ports: ShardHostPorts;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #host: ShardHost | undefined;
  /** What the last opening found, for the log. */
  opened: Record<string, number> = {};
  readonly #handoffMarks: HandoffMarks;
  readonly #turns: StepTurns;
  readonly #cancels: (() => void)[] = [];
  #isClosed = false;
  #reopening: Promise<void> | undefined;
  #endPause: (() => void) | undefined;
  /** Why the last try to open the shards anew failed. */
  #openError: unknown;

  static async open(
    storage: LogStoreOptions,
    ports: ShardHostPorts,
    checkDirectoryMs = CHECK_DIRECTORY_MS,
  ): Promise<ShardKeeper> {
    const keeper = new ShardKeeper(storage, ports);
    await keeper.#open();
    keeper.#every(HANDOFF_MARKS_MS, () => keeper.#markHandoffs());
    keeper.#every(OFFERS_MS, () => keeper.#host?.lookForHandoffs());
    keeper.#every(checkDirectoryMs, () => keeper.#host?.store.checkDirectory());
    return keeper;
  }

  private constructor(storage: LogStoreOptions, ports: ShardHostPorts) {
    this.#storage = storage;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#turns = new StepTurns(ports.clock);
    this.#logger = ports.logger;
    this.#handoffMarks = new HandoffMarks(ports.logger);
  }

  /** @throws AppError unavailable while they are not open */
  readonly host = (): ShardHost => {
    if (this.#host !== undefined) return this.#host;
    throw new AppError("unavailable", "the log is being recovered; try again", { retryAfterMs: COME_BACK_MS });
  };

  /** False while the shards can only be read. */
  get isOpen(): boolean {
    return this.#host !== undefined && this.#host.store.failed === undefined;
  }

  /** How many shards are closed since their data is damaged. */
  get damagedShards(): number {
    return this.#host?.store.damaged.length ?? 0;
  }

  /** For the log lines and `/readyz`: why writes are refused. */
  readonly refusalSource: RefusalSource = {
    state: () => this.#host?.refusal,
    cause: () => this.#openError ?? this.#host?.store.shortageCause,
  };

  async close(flushMs: number): Promise<void> {
    this.#isClosed = true;
    this.#endPause?.();
    for (const cancel of this.#cancels) cancel();
    await this.#reopening;
    const host = this.#host;
    if (host === undefined) return;
    const end = this.#clock.monotonicMs() + flushMs;
    host.storedCounts.stop();
    await host.arrivalsIdle();
    if (this.isOpen) {
      host.markTurns.hurry();
      this.#handoffMarks.write(host.wholeShards());
      host.ranks.settle();
    }
    await host.store.flushAll(() => this.#clock.monotonicMs() > end);
    host.stop();
    await host.store.close();
  }

  /** @param failed the shards that these take the place of */
  async #open(failed?: ShardHost): Promise<void> {
    const startedAt = this.#clock.monotonicMs();
    const host = await ShardHost.open(this.#storage, this.#ports, (error) => this.#failed(error), failed);
    const handoffs = await this.#handOver(host, failed).catch(async (error: unknown) => {
      host.stop();
      // One that follows a failed log is stopped by the next that does.
      if (failed === undefined) await host.store.close();
      throw error;
    });
    if (failed === undefined && this.#storage.damage === "refuse to open") await mustBeWhole(host);
    const { bytes, records, tornBytes } = host.store.recovery;
    const ms = Math.round(this.#clock.monotonicMs() - startedAt);
    this.opened = { logBytes: bytes, records, tornBytes, handoffs, ms };
    this.#host = host;
    this.#turns.run(host.lookAtAllShards()).catch((error: unknown) => {
      this.#logger.error("not all shards could be asked what they have to hand over", { error });
    });
    // The log can have failed before anybody was told of this host: a full disk at the start, a write of what was handed over.
    if (host.store.failed !== undefined) this.#reopening = this.#reopen(host, host.store.failed);
  }

  async #handOver(host: ShardHost, failed: ShardHost | undefined): Promise<number> {
    if (host.store.failed !== undefined) return 0;
    // At the start nobody waits for anything else.
    return host.offerAll(failed === undefined ? atOnce : (steps) => this.#turns.run(steps));
  }

  #markHandoffs(): void {
    const host = this.#host;
    const isOver = (): boolean => this.#isClosed || this.#host !== host || !this.isOpen;
    if (host === undefined) return;
    void this.#turns.run(this.#handoffMarks.steps(host.wholeShards(), isOver));
  }

  /** Until it is closed. */
  #every(ms: number, work: () => void): void {
    let cancel: () => void;
    const wait = (): void => {
      cancel = this.#clock.after(ms, () => {
        wait();
        work();
      });
    };
    wait();
    this.#cancels.push(() => cancel());
  }

  /** While a host is being opened it is not known here yet; `#open` looks itself. */
  #failed(error: Error): void {
    const host = this.#host;
    if (host?.store.failed === error) this.#reopening = this.#reopen(host, error);
  }

  async #reopen(failed: ShardHost, error: Error): Promise<void> {
    const state = failed.refusal ?? "log failed";
    failed.refusals.seen(state, error);
    this.#sendAway(failed, REFUSALS[state].words);
    while (!this.#isClosed && this.#host === failed) {
      try {
        if (await failed.store.hasRoom()) await this.#open(failed);
        this.#openError = undefined;
      } catch (openError) {
        this.#openError = openError;
      }
      if (this.#host === failed) await this.#pause();
    }
    this.#sendAway(failed, "the log was opened anew");
    if (this.isOpen) this.#logger.info("the log is recovered", this.opened);
  }

  /** Until another try is due, or nobody wants one any more. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(REOPEN_MS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }

  /** What their sessions know is of the failed log. */
  #sendAway(host: ShardHost, words: string): void {
    host.turns.run(closeAll(host.sessions(), CLOSE.tryLater, words, COME_BACK_MS)).catch((error: unknown) => {
      this.#logger.error("a connection could not be closed", { error });
    });
  }
}

/** @throws DamagedShardError, when the store is closed */
async function mustBeWhole(host: ShardHost): Promise<void> {
  const { store } = host;
  const [damage] = store.damaged;
  if (damage === undefined) return;
  host.stop();
  await store.close();
  throw new DamagedShardError(damage.shard, damage.what);
}
