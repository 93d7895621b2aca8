/**
 * Keeps this node's shards open. When the log fails, committed data can still be read, and every write is refused with
 * `unavailable`. As soon as there is room, the shards are opened anew from disk and replace the failed ones, as often
 * as needed.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { atOnce, StepTurns } from "../base/steps.ts";
import type { Logger } from "../base/logger.ts";
import { CLOSE } from "../protocol/codes.ts";
import { HandoffProgress } from "../home/handoffs/handoffs.ts";
import { REFUSALS, type RefusalSource } from "../home/refusals.ts";
import { closeAll } from "../home/session.ts";
import { ShardHost, type ShardHostPorts } from "./shard-host.ts";
import { DamagedShardError } from "../../storage/errors.ts";
import type { LogStoreOptions } from "../../storage/store-options.ts";

const REOPEN_MS = 1000;
const COME_BACK_MS = 1500;
const HANDOFF_MARKS_MS = 15_000;
const OFFERS_MS = 1000;
const IDLE_MS = 1000;
/**
 * How often the data directory is checked. Messages that are acknowledged between its move and the next check are in
 * the moved directory.
 */
export const CHECK_DIRECTORY_MS = 1000;

export class ShardKeeper {
  readonly #storage: LogStoreOptions;
  readonly #ports: ShardHostPorts;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #host: ShardHost | undefined;
  /** What the last opening found, for the server's log. */
  opened: Record<string, number> = {};
  readonly #handoffProgress: HandoffProgress;
  readonly #turns: StepTurns;
  readonly #cancels: (() => void)[] = [];
  #isClosed = false;
  #reopening: Promise<void> | undefined;
  #endPause: (() => void) | undefined;
  /** Why the last attempt to open the shards anew failed. */
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
    keeper.#every(IDLE_MS, () => keeper.#host?.lookForIdle());
    keeper.#every(checkDirectoryMs, () => keeper.#host?.store.checkDirectory());
    return keeper;
  }

  private constructor(storage: LogStoreOptions, ports: ShardHostPorts) {
    this.#storage = storage;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#turns = new StepTurns(ports.clock);
    this.#logger = ports.logger;
    this.#handoffProgress = new HandoffProgress(ports.logger);
  }

  /** @throws AppError unavailable while the shards are not open */
  readonly host = (): ShardHost => {
    if (this.#host !== undefined) return this.#host;
    throw new AppError("unavailable", "the log is being recovered; try again", { retryAfterMs: COME_BACK_MS });
  };

  /** False while the shards are read-only or not open. */
  get isOpen(): boolean {
    return this.#host !== undefined && this.#host.store.failed === undefined;
  }

  /** How many shards are closed because of damage. */
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
      this.#handoffProgress.write(host.wholeShards());
      host.ranks.end();
    }
    await host.store.flushAll(() => this.#clock.monotonicMs() > end);
    host.stop();
    await host.store.close();
  }

  /** @param failed the shards that the new ones replace */
  async #open(failed?: ShardHost): Promise<void> {
    const startedAt = this.#clock.monotonicMs();
    const host = await ShardHost.open(this.#storage, this.#ports, (error) => this.#failed(error), failed);
    const handoffs = await this.#handOver(host, failed).catch(async (error: unknown) => {
      host.stop();
      // A host that replaces a failed one is not closed here: the next attempt does that.
      if (failed === undefined) await host.store.close();
      throw error;
    });
    if (failed === undefined && this.#storage.damage === "refuse to open") await mustBeWhole(host);
    const { bytes, records, tornBytes } = host.store.recovery;
    const ms = Math.round(this.#clock.monotonicMs() - startedAt);
    this.opened = { logBytes: bytes, records, tornBytes, handoffs, ms };
    this.#host = host;
    this.#turns.run(host.lookAtAllShards()).catch((error: unknown) => {
      this.#logger.error("not all shards could be searched for unconfirmed handoffs", { error });
    });
    // The log can have failed before this host was known here, for example by a full disk while handoffs were offered.
    if (host.store.failed !== undefined) this.#reopening = this.#reopen(host, host.store.failed);
  }

  async #handOver(host: ShardHost, failed: ShardHost | undefined): Promise<number> {
    if (host.store.failed !== undefined) return 0;
    // At the start there is no other work to share the event loop with.
    return host.offerAll(failed === undefined ? atOnce : (steps) => this.#turns.run(steps));
  }

  #markHandoffs(): void {
    const host = this.#host;
    const isOver = (): boolean => this.#isClosed || this.#host !== host || !this.isOpen;
    if (host === undefined) return;
    void this.#turns.run(this.#handoffProgress.steps(host.wholeShards(), isOver));
  }

  /** Calls `work` every `ms` until the keeper is closed. */
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

  /** A host that is still being opened is not known here yet; `#open` checks it itself. */
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

  /** Resolves when the next attempt is due, or on `close`. */
  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(REOPEN_MS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Closes all connections: their sessions hold state of the failed log. */
  #sendAway(host: ShardHost, words: string): void {
    host.turns.run(closeAll(host.sessions(), CLOSE.tryLater, words, COME_BACK_MS)).catch((error: unknown) => {
      this.#logger.error("a connection could not be closed", { error });
    });
  }
}

/** Closes the store and throws DamagedShardError if a shard is damaged. */
async function mustBeWhole(host: ShardHost): Promise<void> {
  const { store } = host;
  const [damage] = store.damaged;
  if (damage === undefined) return;
  host.stop();
  await store.close();
  throw new DamagedShardError(damage.shard, damage.what);
}
