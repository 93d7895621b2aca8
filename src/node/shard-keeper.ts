/**
 * Keeps this node's shards open. When the log fails they are dropped and opened anew from what is on disk, as often as it takes; meanwhile
 * everything that needs them is told `unavailable`.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import { CLOSE } from "../protocol/codes.ts";
import { HandoffMarks, offerAgain } from "../shard/handoffs.ts";
import { ShardHost, type ShardHostPorts } from "../shard/shard-host.ts";
import type { LogStoreOptions } from "../../storage/log-store.ts";

const REOPEN_MS = 1000;
const COME_BACK_MS = 1500;
const HANDOFF_MARKS_MS = 15_000;

export class ShardKeeper {
  readonly #storage: LogStoreOptions;
  readonly #ports: ShardHostPorts;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #host: ShardHost | undefined;
  /** What the last opening found, for the log. */
  opened: Record<string, number> = {};
  readonly #handoffMarks = new HandoffMarks();
  #isClosed = false;

  static async open(storage: LogStoreOptions, ports: ShardHostPorts): Promise<ShardKeeper> {
    const keeper = new ShardKeeper(storage, ports);
    await keeper.#open();
    keeper.#markHandoffsLater();
    return keeper;
  }

  private constructor(storage: LogStoreOptions, ports: ShardHostPorts) {
    this.#storage = storage;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#logger = ports.logger;
  }

  /** @throws AppError unavailable while they are not open */
  readonly host = (): ShardHost => {
    if (this.#host !== undefined) return this.#host;
    throw new AppError("unavailable", "the log is being recovered; try again", { retryAfterMs: COME_BACK_MS });
  };

  get isOpen(): boolean {
    return this.#host !== undefined;
  }

  async close(flushMs: number): Promise<void> {
    this.#isClosed = true;
    const host = this.#host;
    if (host === undefined) return;
    const end = this.#clock.monotonicMs() + flushMs;
    this.#handoffMarks.write(host.store.opened());
    await host.store.flushAll(() => this.#clock.monotonicMs() > end);
    await host.store.close();
  }

  async #open(): Promise<void> {
    const startedAt = this.#clock.monotonicMs();
    const host = await ShardHost.open(this.#storage, this.#ports, (error) => void this.#failed(error));
    let handoffs = 0;
    for (const log of host.store.opened()) handoffs += offerAgain(host, log);
    await host.store.idle();
    const { bytes, records, tornBytes } = host.store.recovery;
    const ms = Math.round(this.#clock.monotonicMs() - startedAt);
    this.opened = { logBytes: bytes, records, tornBytes, handoffs, ms };
    this.#host = host;
  }

  #markHandoffsLater(): void {
    this.#clock.after(HANDOFF_MARKS_MS, () => {
      if (this.#isClosed) return;
      if (this.#host !== undefined) this.#handoffMarks.write(this.#host.store.opened());
      this.#markHandoffsLater();
    });
  }

  async #failed(error: Error): Promise<void> {
    const host = this.#host;
    this.#host = undefined;
    this.#logger.error("the log failed; recovering from what is on disk", { error });
    for (const session of host?.sessions() ?? []) session.close(CLOSE.tryLater, "the log is being recovered", COME_BACK_MS);
    await host?.store.close().catch((closeError: unknown) => this.#logger.warn("closing the failed log", { error: closeError }));
    while (!this.#isClosed && this.#host === undefined) {
      try {
        await this.#open();
        this.#logger.info("the log is recovered", this.opened);
      } catch (openError) {
        this.#logger.error("the log cannot be opened yet", { error: openError });
        await new Promise<void>((resolve) => void this.#clock.after(REOPEN_MS, resolve));
      }
    }
  }
}
