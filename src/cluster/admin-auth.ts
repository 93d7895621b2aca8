/**
 * How the operator's scripts prove to a node that they know the cluster's secret: they sign each call with a nonce that
 * the node gave out and takes once.
 *
 *     GET  /cluster/v1/challenge              → a nonce
 *     …    authorization: Cluster NONCE.HMAC(secret, nonce, method, path, body)
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";

const NONCE_BYTES = 18;
const NONCE_MS = 30_000;
const NONCES_MAX = 1024;

export type SignedCall = { readonly method: string; readonly path: string; readonly body: string };

export function signature(secret: Uint8Array, nonce: string, { method, path, body }: SignedCall): string {
  const content = createHash("sha256").update(body).digest("base64url");
  return createHmac("sha256", secret)
    .update(JSON.stringify([nonce, method, path, content]))
    .digest("base64url");
}

export const authorizationOf = (secret: Uint8Array, nonce: string, call: SignedCall): string =>
  `Cluster ${nonce}.${signature(secret, nonce, call)}`;

export class AdminAuth {
  readonly #secret: Uint8Array;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Until when each may be used, monotonic; oldest first. */
  readonly #nonces = new Map<string, number>();

  constructor(secret: Uint8Array, clock: Clock, random: Random) {
    this.#secret = secret;
    this.#clock = clock;
    this.#random = random;
  }

  challenge(): string {
    const nonce = Buffer.from(this.#random.bytes(NONCE_BYTES)).toString("base64url");
    this.#nonces.set(nonce, this.#clock.monotonicMs() + NONCE_MS);
    for (const oldest of this.#nonces.keys()) {
      if (this.#nonces.size <= NONCES_MAX) break;
      this.#nonces.delete(oldest);
    }
    return nonce;
  }

  isSigned(authorization: string | null, call: SignedCall): boolean {
    const [, nonce = "", given = ""] = /^Cluster ([\w-]+)\.([\w-]+)$/.exec(authorization ?? "") ?? [];
    const until = this.#nonces.get(nonce);
    this.#nonces.delete(nonce);
    if (until === undefined || until < this.#clock.monotonicMs()) return false;
    const [one, other] = [Buffer.from(given), Buffer.from(signature(this.#secret, nonce, call))];
    return one.length === other.length && timingSafeEqual(one, other);
  }
}
