/**
 * Asks each stream of a request to erase its part, one after the other (erase-content.ts). A stream that fails does not
 * keep the others from their turn.
 */
import { AppError } from "../../base/errors.ts";
import { nextTurn } from "../../base/steps.ts";
import { isGroup, userAddress, type Address, type UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { writeRecord } from "../durable.ts";
import type { ContentErased, ContentToErase } from "../messages/erasing.ts";
import type { Shard } from "../shard.ts";
import { RANGES_MAX } from "./erased-files.ts";
import { entriesOf, userOf, type Request } from "./erasure-request.ts";

export type ErasePorts = {
  isStopped: () => boolean;
  /**
   * Called when so many ranges have gathered that reads are slow: empties the files of this node. Other nodes empty
   * their own (erased-files.ts).
   */
  tidy: () => Promise<void>;
};

const LOOK_AGAIN_MS = 20;
/** A stream that makes no progress for so long is left for later. */
const STALLED_MS_MAX = 60_000;

export class UserErasure {
  readonly #shard: Shard;
  readonly #name: UserId;
  readonly #request: Request;
  readonly #ports: ErasePorts;
  /** Of streams that are done. */
  #entries: number;
  #ranges = 0;
  /** Of the last stream that could not be erased from. */
  #failure: { error: unknown } | undefined;

  constructor(shard: Shard, name: UserId, request: Request, ports: ErasePorts) {
    this.#shard = shard;
    this.#name = name;
    this.#request = request;
    this.#ports = ports;
    this.#entries = request.before ?? 0;
  }

  async run(conversations: readonly ConversationState[]): Promise<void> {
    const { through, groups } = this.#request;
    const own = userAddress(this.#name);
    await this.#erase(own, through);
    for (const { address, sentSeq = through } of conversations) {
      if (address === own) continue;
      if (!isGroup(address)) await this.#erase(address, through, Math.min(sentSeq, through));
      else if (groups[address] !== undefined) await this.#erase(address, groups[address]);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #erase(stream: Address, through: number, last = 0): Promise<void> {
    let stalledAt: number | undefined;
    for (let after = 0 as Seq; ;) {
      if (this.#ports.isStopped()) throw stopped();
      const erased = await this.#ask({ stream, through: through as Seq, last: last as Seq, after });
      if (erased === undefined) return nextTurn();
      await this.#count(this.#entries + erased.entries);
      if (erased.isDone) this.#entries += erased.entries;
      if (erased.isDone || erased.through > after) await this.#tidy(erased.ranges);
      if (erased.isDone) return;
      stalledAt = erased.through > after ? undefined : (stalledAt ?? this.#shard.clock.monotonicMs());
      if (stalledAt !== undefined && !(await this.#hasWaited(stalledAt))) return;
      after = erased.through;
    }
  }

  /** @returns undefined if the stream cannot be erased from: the others still can */
  async #ask(where: Omit<ContentToErase, "user" | "request">): Promise<ContentErased | undefined> {
    const question = { ...where, user: this.#name, request: this.#request.id! };
    try {
      return await this.#shard.router.ask("eraseContent", where.stream, question);
    } catch (error) {
      this.#failure = { error };
      return undefined;
    }
  }

  /** Only raises the number: after a crash counting begins anew, below what was counted before. */
  async #count(entries: number): Promise<void> {
    const user = (await userOf(this.#shard, this.#name))!;
    const { log, handle } = user;
    if (entries <= entriesOf(user)) return;
    await writeRecord(log, () => log.putNumbers(handle, "erasedEntries", entries));
  }

  async #tidy(ranges: number): Promise<void> {
    this.#ranges += ranges;
    if (this.#ranges <= RANGES_MAX) return nextTurn();
    await this.#ports.tidy();
    this.#ranges = 0;
  }

  /** @returns false if the stream is left for later */
  async #hasWaited(stalledAt: number): Promise<boolean> {
    const { clock } = this.#shard;
    if (clock.monotonicMs() - stalledAt > STALLED_MS_MAX) {
      this.#failure = { error: new AppError("unavailable", "the shard is being flushed; erase again later") };
      return false;
    }
    await new Promise<void>((resolve) => void clock.after(LOOK_AGAIN_MS, resolve));
    return true;
  }
}

const stopped = (): AppError => new AppError("unavailable", "erasing was stopped; it goes on later");
