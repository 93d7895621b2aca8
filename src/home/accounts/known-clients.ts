/**
 * Addresses where a user has logged in: the newest few, as keyed hashes in one cell of the user. Without the server's
 * key the data directory does not reveal the addresses. An address that is forgotten shares the count of wrong
 * passwords with strangers; nothing else is lost.
 *
 *     clients     hash…, 4 bytes each, newest first
 */
import { createHmac } from "node:crypto";
import type { UserId } from "../../domain/address.ts";

export const CLIENTS_CELL = "clients";
const HASH_BYTES = 4;
const CLIENTS_MAX = 8;

export class KnownClients {
  readonly #key: Uint8Array;

  /** @param key a secret of the server */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  has(cell: Uint8Array | undefined, user: UserId, client: string): boolean {
    return cell !== undefined && offsetOf(Buffer.from(cell), this.#hash(user, client)) !== undefined;
  }

  /** The cell with the client added; undefined if it has the client already. */
  with(cell: Uint8Array | undefined, user: UserId, client: string): Uint8Array | undefined {
    const hash = this.#hash(user, client);
    const known = Buffer.from(cell ?? []);
    if (offsetOf(known, hash) !== undefined) return undefined;
    return Buffer.concat([hash, known]).subarray(0, CLIENTS_MAX * HASH_BYTES);
  }

  #hash(user: UserId, client: string): Buffer {
    return createHmac("sha256", this.#key).update(`${user} ${client}`).digest().subarray(0, HASH_BYTES);
  }
}

function offsetOf(cell: Buffer, hash: Buffer): number | undefined {
  for (let at = 0; at + HASH_BYTES <= cell.length; at += HASH_BYTES)
    if (cell.subarray(at, at + HASH_BYTES).equals(hash)) return at;
  return undefined;
}
