/**
 * Bounds what is under way at the same time: calls of one user, and bytes of answers that clients have not read, of one
 * user and in total.
 *
 * A small answer goes to the kernel at once and is not counted. A large one is sent piece by piece, as the client
 * reads, and counts until it is gone. So a client that calls and does not read is refused the next call.
 */
import { AppError } from "../../base/errors.ts";
import type { UserId } from "../../domain/address.ts";

export type AnswerBounds = { callsPerUser: number; bytesPerUser: number; bytesInAll: number };

export const ANSWER_BOUNDS: AnswerBounds = { callsPerUser: 16, bytesPerUser: 8 << 20, bytesInAll: 128 << 20 };

/** Answers up to this size are sent whole. */
const WHOLE_BYTES_MAX = 64 << 10;
const PIECE_BYTES = 64 << 10;
const RETRY_MS = 500;

type Held = { calls: number; bytes: number };

export class AnswersUnderWay {
  readonly #bounds: AnswerBounds;
  readonly #users = new Map<UserId, Held>();
  #bytes = 0;

  constructor(bounds: AnswerBounds = ANSWER_BOUNDS) {
    this.#bounds = bounds;
  }

  /** Bytes that clients have not read yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Runs a call of `user`. @throws AppError rate_limited or unavailable if too much is under way already */
  async run<T>(user: UserId, call: () => Promise<T> | T): Promise<T> {
    const held = this.#held(user);
    const { callsPerUser, bytesPerUser, bytesInAll } = this.#bounds;
    if (held.calls >= callsPerUser) throw tooMuch("rate_limited", `${callsPerUser} calls of yours are under way`);
    if (held.bytes >= bytesPerUser)
      throw tooMuch("rate_limited", `${held.bytes} bytes of answers wait to be read by you`);
    if (this.#bytes >= bytesInAll) throw tooMuch("unavailable", `${this.#bytes} bytes of answers wait to be read`);
    held.calls++;
    try {
      return await call();
    } finally {
      held.calls--;
      this.#forget(user, held);
    }
  }

  /** The text as the body of an answer; `user` is undefined for calls without credentials. */
  body(user: UserId | undefined, text: string): string | ReadableStream<Uint8Array> {
    if (text.length * 3 <= WHOLE_BYTES_MAX) return text;
    const bytes = Buffer.from(text);
    return bytes.length <= WHOLE_BYTES_MAX ? text : this.#inPieces(user, bytes);
  }

  /** The same for bytes. */
  bodyOf(user: UserId | undefined, bytes: Buffer): Buffer<ArrayBuffer> | ReadableStream<Uint8Array> {
    return bytes.length <= WHOLE_BYTES_MAX ? Buffer.from(bytes) : this.#inPieces(user, bytes);
  }

  #inPieces(user: UserId | undefined, bytes: Buffer): ReadableStream<Uint8Array> {
    const release = this.#hold(user, bytes.length);
    let at = 0;
    const source: UnderlyingDefaultSource<Uint8Array> = {
      pull(controller) {
        controller.enqueue(bytes.subarray(at, (at += PIECE_BYTES)));
        if (at < bytes.length) return;
        controller.close();
        release();
      },
      cancel: release,
    };
    return new ReadableStream(source, { highWaterMark: 0 });
  }

  #hold(user: UserId | undefined, bytes: number): () => void {
    const held = user === undefined ? undefined : this.#held(user);
    if (held !== undefined) held.bytes += bytes;
    this.#bytes += bytes;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#bytes -= bytes;
      if (held === undefined) return;
      held.bytes -= bytes;
      this.#forget(user!, held);
    };
  }

  #held(user: UserId): Held {
    let held = this.#users.get(user);
    if (held === undefined) this.#users.set(user, (held = { calls: 0, bytes: 0 }));
    return held;
  }

  #forget(user: UserId, held: Held): void {
    if (held.calls === 0 && held.bytes === 0) this.#users.delete(user);
  }
}

function tooMuch(code: "rate_limited" | "unavailable", what: string): AppError {
  return new AppError(code, `${what}, that is the most; try again in ${RETRY_MS} ms`, { retryAfterMs: RETRY_MS });
}
