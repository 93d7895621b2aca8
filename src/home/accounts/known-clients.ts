/**
 * Addresses where a user has logged in: the newest few, as keyed hashes, in one cell of the user. Who reads the data directory cannot tell the
 * addresses from it without the server's key, and what is forgotten costs a user nothing but a shared count of wrong passwords.
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

  /** @param key secret of the server */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  has(cell: Uint8Array | undefined, user: UserId, client: string): boolean {
    return cell !== undefined && placeOf(Buffer.from(cell), this.#hash(user, client)) !== undefined;
  }

  /** The cell with the client in it; undefined when it is there already and need not be written. */
  with(cell: Uint8Array | undefined, user: UserId, client: string): Uint8Array | undefined {
    const hash = this.#hash(user, client);
    const known = Buffer.from(cell ?? []);
    if (placeOf(known, hash) !== undefined) return undefined;
    return Buffer.concat([hash, known]).subarray(0, CLIENTS_MAX * HASH_BYTES);
  }

  #hash(user: UserId, client: string): Buffer {
    return createHmac("sha256", this.#key).update(`${user} ${client}`).digest().subarray(0, HASH_BYTES);
  }
}

function placeOf(cell: Buffer, hash: Buffer): number | undefined {
  for (let at = 0; at + HASH_BYTES <= cell.length; at += HASH_BYTES)
    if (cell.subarray(at, at + HASH_BYTES).equals(hash)) return at;
  return undefined;
}
