/**
 * The states in which a node refuses writes: the words for each in answers, at `/readyz` and in the log. The list is
 * closed: nothing else refuses all writes.
 *
 * A state is known in one of two ways:
 * - Shortages of the store are read from the store for each command (`ShardHost.refusal`). `watch` also looks once a
 *   second, so that the log tells of a shortage while no command comes.
 * - Every other state is reported by the code that finds it: `begin("directory lost", error)`, and `end("directory
 *   lost")` when it is over. Both may be called repeatedly. During the state every write is refused with its words,
 *   `/readyz` answers 503 with them, and the log has a line at the beginning, one a minute, and one at the end.
 *
 * To add a state, add a row to `REFUSALS`. If several hold at once, the first row is told.
 *
 * Not here: which commands check before they write (src/home/shard.ts, src/home/sending/send-tokens.ts).
 *
 * A shortage that comes and goes within seconds is one episode: its end is logged when it has not been seen for two
 * seconds. So the log is never flooded.
 */
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { DirectoryLostError } from "../../storage/errors.ts";
import { shortageOf, type Shortage } from "../../storage/shortage.ts";

export type RefusalState = "draining" | "taken over" | Shortage;

type Facts = {
  /** For people: lower case, true for as long as the state holds. */
  words: string;
  /** When a client should try again. */
  retryAfterMs: number;
  level: "info" | "warn" | "error";
};

/** If several hold, the first of them is told. */
export const REFUSALS: Record<RefusalState, Facts> = {
  draining: { words: "the server is going away", retryAfterMs: 1000, level: "info" },
  "directory lost": {
    words: "the data directory was moved, removed or replaced",
    retryAfterMs: 30_000,
    level: "error",
  },
  "other writer": { words: "another server writes to the data directory", retryAfterMs: 30_000, level: "error" },
  "taken over": {
    words: "another server has taken over the part of the data that this concerns",
    retryAfterMs: 5000,
    level: "warn",
  },
  "disk full": { words: "the disk is full", retryAfterMs: 2000, level: "error" },
  "no descriptors": {
    words: "the server may open no more files",
    retryAfterMs: 2000,
    level: "error",
  },
  "log failed": { words: "the log could not be written and is being recovered", retryAfterMs: 1500, level: "error" },
  "log stuck": { words: "the log's next file cannot be made", retryAfterMs: 2000, level: "error" },
  "memory full": {
    words: "memory is full of messages that wait to be flushed to disk",
    retryAfterMs: 1000,
    level: "error",
  },
  "log behind": { words: "more is written than the disk keeps up with", retryAfterMs: 1000, level: "warn" },
};

const STATES = Object.keys(REFUSALS) as RefusalState[];
const LOOK_EVERY_MS = 1000;
const SAY_AGAIN_MS = 60_000;
const OVER_AFTER_MS = 2000;

/** From when a state was first seen until the log says that it is over. */
type Episode = { beganAt: number; seenAt: number; saidAt: number; refused: number; cause: unknown };

/** The answer to a command that has found the data directory gone, even while reading; undefined for other errors. */
export function lostError(error: unknown): AppError | undefined {
  if (!(error instanceof DirectoryLostError)) return undefined;
  const { words, retryAfterMs } = REFUSALS[shortageOf(error) ?? "directory lost"];
  return new AppError("unavailable", `${words}; try again in ${retryAfterMs} ms`, { retryAfterMs, cause: error });
}

export type RefusalSource = {
  /** The state in which writes are refused; undefined while they are accepted. */
  state: () => RefusalState | undefined;
  /** The error behind it, for the log, if there is one. */
  cause: () => unknown;
};

export class Refusals {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #reported = new Set<RefusalState>();
  readonly #episodes = new Map<RefusalState, Episode>();
  /** The first of the reported states; read with every message. */
  #standing: RefusalState | undefined;
  #source: RefusalSource | undefined;
  #cancelLook: (() => void) | undefined;

  constructor({ clock, logger }: { clock: Clock; logger: Logger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** The reported state that is not over. Without shortages of the store. */
  get standing(): RefusalState | undefined {
    return this.#standing;
  }

  /** From now on writes are refused for this state. */
  begin(state: RefusalState, cause?: unknown): void {
    this.#reported.add(state);
    this.#standing = STATES.find((one) => this.#reported.has(one));
    this.seen(state, cause);
  }

  /** The state that `begin` reported is over. */
  end(state: RefusalState): void {
    if (!this.#reported.delete(state)) return;
    this.#standing = STATES.find((one) => this.#reported.has(one));
    this.#over(state, this.#clock.monotonicMs());
  }

  /** The answer to a write that is refused for this state, counted. */
  error(state: RefusalState, retryAfterMs: number = REFUSALS[state].retryAfterMs): AppError {
    this.seen(state, this.#source?.cause()).refused++;
    return new AppError("unavailable", `${REFUSALS[state].words}; try again in ${retryAfterMs} ms`, { retryAfterMs });
  }

  /** From now on looks once a second, until `stop`. */
  watch(source: RefusalSource): void {
    this.#source = source;
    this.#look();
  }

  /** Why the node is not ready, in words; undefined while it accepts writes. */
  notReadyReason(): string | undefined {
    const state = this.#standing ?? this.#source?.state();
    return state && REFUSALS[state].words;
  }

  stop(): void {
    this.#cancelLook?.();
    this.#cancelLook = undefined;
  }

  #look(): void {
    const state = this.#source!.state();
    if (state !== undefined) this.seen(state, this.#source!.cause());
    const now = this.#clock.monotonicMs();
    for (const one of this.#reported) this.#episodes.get(one)!.seenAt = now;
    for (const [one, episode] of this.#episodes) {
      if (now - episode.seenAt > OVER_AFTER_MS) this.#over(one, episode.seenAt);
      else if (now - episode.saidAt >= SAY_AGAIN_MS) this.#stillThere(one, episode, now);
    }
    this.#cancelLook = this.#clock.after(LOOK_EVERY_MS, () => this.#look());
  }

  /** A command met this state of the store: it is logged at once, before `watch` looks next. */
  seen(state: RefusalState, cause?: unknown): Episode {
    const now = this.#clock.monotonicMs();
    let episode = this.#episodes.get(state);
    if (episode === undefined) {
      episode = { beganAt: now, seenAt: now, saidAt: now, refused: 0, cause };
      this.#episodes.set(state, episode);
      this.#say(state, "writes are refused", errorOf(cause));
    }
    episode.seenAt = now;
    episode.cause = cause ?? episode.cause;
    return episode;
  }

  #stillThere(state: RefusalState, episode: Episode, now: number): void {
    episode.saidAt = now;
    const { beganAt, refused, cause } = episode;
    this.#say(state, "writes are still refused", { forMs: Math.round(now - beganAt), refused, ...errorOf(cause) });
  }

  #over(state: RefusalState, endedAt: number): void {
    const { beganAt, refused } = this.#episodes.get(state)!;
    this.#episodes.delete(state);
    const message = this.#episodes.size === 0 ? "writes are taken again" : "writes are refused for another reason now";
    this.#logger.info(message, { state, forMs: Math.round(endedAt - beganAt), refused });
  }

  #say(state: RefusalState, message: string, fields: Record<string, unknown> = {}): void {
    const { words, level } = REFUSALS[state];
    this.#logger[level](message, { state, why: words, ...fields });
  }
}

const errorOf = (cause: unknown): Record<string, unknown> => (cause === undefined ? {} : { error: cause });
