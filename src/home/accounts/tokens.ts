/**
 * Tokens: signed statements "this is device D of user U, token T". Any edge that has the key can verify the signature
 * without a call. Only the user's home knows whether the token is still alive (accounts.ts). The only file that imports
 * jose.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import { jwtVerify, SignJWT } from "jose";
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { loadOrCreateKey } from "../../base/key-file.ts";
import type { Random } from "../../base/random.ts";
import { NAME_PATTERN, type DeviceId, type UserId } from "../../domain/address.ts";

/** `tokenId`: base64url of `TOKEN_ID_BYTES`. */
export type TokenClaims = { user: UserId; device: DeviceId; tokenId: string };

/**
 * Random, and only distinct among tokens of the same device: one login in 10^12 leaves an earlier token alive. Forged
 * tokens fail by their signature.
 */
export const TOKEN_ID_BYTES = 5;

const KEY_BYTES = 32;
const KEY_FILE = "token.key";
export const TOKEN_CHARACTERS_MAX = 1024;
/** About 0.5 KB each. Without the cache, each call of a device would cost 50 µs of crypto. */
const VERIFIED_MAX = 20_000;

export class Tokens {
  readonly #key: CryptoKey;
  readonly #keyBytes: Uint8Array;
  readonly #clock: Clock;
  readonly #verifiedMax: number;
  /** Signatures that were checked, least recently used first. Says nothing about liveness. */
  readonly #verified = new Map<string, TokenClaims>();

  private constructor(key: CryptoKey, keyBytes: Uint8Array, clock: Clock, verifiedMax: number) {
    this.#key = key;
    this.#keyBytes = keyBytes;
    this.#clock = clock;
    this.#verifiedMax = verifiedMax;
  }

  static async open(key: Uint8Array<ArrayBuffer>, clock: Clock, verifiedMax = VERIFIED_MAX): Promise<Tokens> {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    return new Tokens(
      await crypto.subtle.importKey("raw", key, algorithm, false, ["sign", "verify"]),
      key,
      clock,
      verifiedMax,
    );
  }

  get verifiedCount(): number {
    return this.#verified.size;
  }

  issue({ user, device, tokenId }: TokenClaims): Promise<string> {
    return new SignJWT({ device })
      .setProtectedHeader({ alg: "HS256" })
      .setSubject(user)
      .setJti(tokenId)
      .setIssuedAt(Math.floor(this.#clock.now() / 1000))
      .sign(this.#key);
  }

  /** @throws AppError unauthorized for a token that this key did not sign */
  async verify(token: string): Promise<TokenClaims> {
    const known = this.#verified.get(token);
    if (known !== undefined) this.#verified.delete(token);
    const claims = known ?? (await this.#verifySignature(token));
    this.#verified.set(token, claims);
    if (this.#verified.size > this.#verifiedMax) this.#forgetLeastRecentlyUsed();
    return claims;
  }

  /**
   * The user of a token by its signature alone; undefined if it is not ours. Synchronous, and cheap enough to decide
   * whether a request is to be refused.
   */
  signedFor(token: string): UserId | undefined {
    const known = this.#verified.get(token);
    if (known !== undefined) return known.user;
    const [header, payload = "", signature = "", ...rest] = token.length > TOKEN_CHARACTERS_MAX ? [] : token.split(".");
    const expected = createHmac("sha256", this.#keyBytes).update(`${header}.${payload}`).digest();
    const given = Buffer.from(signature, "base64url");
    if (rest.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    try {
      return claimsOf(JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>).user;
    } catch {
      return undefined;
    }
  }

  async #verifySignature(token: string): Promise<TokenClaims> {
    if (token.length > TOKEN_CHARACTERS_MAX) throw notOurs();
    try {
      // The list of algorithms keeps out "alg": "none" and its relatives.
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: ["HS256"],
        currentDate: new Date(this.#clock.now()),
      });
      return claimsOf(payload);
    } catch (cause) {
      throw notOurs(cause);
    }
  }

  #forgetLeastRecentlyUsed(): void {
    const [oldest] = this.#verified.keys();
    if (oldest !== undefined) this.#verified.delete(oldest);
  }
}

function claimsOf(payload: { sub?: string; jti?: string; [claim: string]: unknown }): TokenClaims {
  const { sub, jti, device } = payload;
  if (sub === undefined || jti === undefined || typeof device !== "string") throw new Error("claims are missing");
  if (!NAME_PATTERN.test(sub) || !NAME_PATTERN.test(device)) throw new Error("claims are not names");
  return { user: sub as UserId, device: device as DeviceId, tokenId: jti };
}

function notOurs(cause?: unknown): AppError {
  return new AppError("unauthorized", "the token is not one of this server's; log in for a new one", { cause });
}

/**
 * The signing key of a data directory, made at the first start. All nodes of a cluster have the same key. A reader of
 * the key can act as any user.
 */
export const loadOrCreateTokenKey = (dataDir: string, random: Random): Promise<Uint8Array<ArrayBuffer>> =>
  loadOrCreateKey(join(dataDir, KEY_FILE), KEY_BYTES, random);
