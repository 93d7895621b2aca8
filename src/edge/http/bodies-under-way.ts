/**
 * Bounds the bytes of bodies on their way in calls without credentials, per address and in total. A body may take half
 * a minute to arrive, and the runtime holds what has come of it. Calls of users are bounded in number
 * (answers-under-way.ts).
 */
import { AppError } from "../../base/errors.ts";

export type BodiesBounds = { bytesPerClient: number; bytesInAll: number };

const BODIES_BOUNDS: BodiesBounds = { bytesPerClient: 2 << 20, bytesInAll: 128 << 20 };
/**
 * A login is this small. It costs no more than its connection, so it is not counted: strangers who fill the bound keep
 * no login out.
 */
const SMALL_BYTES_MAX = 1024;
const RETRY_MS = 1000;

export class BodiesUnderWay {
  readonly #bounds: BodiesBounds;
  readonly #clients = new Map<string, number>();
  #bytes = 0;

  constructor(bounds = BODIES_BOUNDS) {
    this.#bounds = bounds;
  }

  /**
   * Reads a body of at most so many bytes. @throws AppError rate_limited or unavailable if too much is on its way
   * already
   */
  async read<T>(client: string, bytes: number, body: () => Promise<T>): Promise<T> {
    if (bytes <= SMALL_BYTES_MAX) return body();
    const held = this.#clients.get(client) ?? 0;
    const { bytesPerClient, bytesInAll } = this.#bounds;
    if (held + bytes > bytesPerClient) throw tooMuch("rate_limited", `${held} bytes of bodies from your address`);
    if (this.#bytes + bytes > bytesInAll) throw tooMuch("unavailable", `${this.#bytes} bytes of bodies`);
    this.#add(client, bytes);
    try {
      return await body();
    } finally {
      this.#add(client, -bytes);
    }
  }

  #add(client: string, bytes: number): void {
    this.#bytes += bytes;
    const held = (this.#clients.get(client) ?? 0) + bytes;
    if (held === 0) this.#clients.delete(client);
    else this.#clients.set(client, held);
  }
}

function tooMuch(code: "rate_limited" | "unavailable", what: string): AppError {
  return new AppError(code, `${what} are on their way, that is the most; try again in ${RETRY_MS} ms`, {
    retryAfterMs: RETRY_MS,
  });
}
