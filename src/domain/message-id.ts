/**
 * The server's id of a message: 22 URL-safe characters, one AES block that encodes where the message is.
 *
 *     u16 shard | u32 stream number | u48 seq | u32 zero        encrypted with the cluster's id key, base64url
 *
 * It is deterministic, so nothing is stored and all clients get the same id. It is encrypted, so that no client can
 * read another user's seq from it. The zeros reject forged ids. A single block without chaining is safe here, because
 * every plain text is unique.
 *
 * A call into the cipher costs far more than a block, so ids that are needed together share a call: see `IdBatch`.
 */
import { createCipheriv, createDecipheriv, type Cipheriv } from "node:crypto";
import type { Seq, ShardId } from "../../storage/types.ts";

export type MessagePlace = { shard: ShardId; streamNo: number; seq: Seq };

export const ID_KEY_BYTES = 16;
const ID_PATTERN = /^[A-Za-z0-9_-]{22}$/;
const BLOCK_BYTES = 16;

export class MessageIds {
  readonly #key: Uint8Array;
  readonly #cipher: Cipheriv;
  #gathering: IdBatch;

  constructor(key: Uint8Array) {
    this.#key = key;
    this.#cipher = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
    this.#gathering = new IdBatch(this.#cipher);
  }

  /** The batch for ids that are needed soon: call `add` now, and `id` when they are needed. */
  get gathering(): IdBatch {
    if (this.#gathering.isClosed) this.#gathering = new IdBatch(this.#cipher);
    return this.#gathering;
  }

  encode(shard: ShardId, streamNo: number, seq: Seq): string {
    const batch = new IdBatch(this.#cipher, 1);
    return batch.id(batch.add(shard, streamNo, seq));
  }

  /** Undefined for ids that this cluster never gave out. */
  decode(id: string): MessagePlace | undefined {
    if (!ID_PATTERN.test(id)) return undefined;
    const decipher = createDecipheriv("aes-128-ecb", this.#key, null).setAutoPadding(false);
    const block = decipher.update(Buffer.from(id, "base64url"));
    if (block.length !== BLOCK_BYTES || block.readUInt32LE(12) !== 0) return undefined;
    return {
      shard: block.readUInt16LE(0) as ShardId,
      streamNo: block.readUInt32LE(2),
      seq: block.readUIntLE(6, 6) as Seq,
    };
  }
}

/** Ids that are encrypted together when the first of them is read. */
export class IdBatch {
  readonly #cipher: Cipheriv;
  #plain: Buffer;
  #length = 0;
  #encrypted: Buffer | undefined;

  constructor(cipher: Cipheriv, expected = 64) {
    this.#cipher = cipher;
    this.#plain = Buffer.alloc(expected * BLOCK_BYTES);
  }

  /** Nothing can be added any more. */
  get isClosed(): boolean {
    return this.#encrypted !== undefined;
  }

  /** @returns the argument for `id` */
  add(shard: ShardId, streamNo: number, seq: Seq): number {
    const at = this.#length;
    this.#length = at + BLOCK_BYTES;
    if (this.#length > this.#plain.length) this.#plain = Buffer.concat([this.#plain], this.#plain.length * 2);
    this.#plain.writeUInt16LE(shard, at);
    this.#plain.writeUInt32LE(streamNo, at + 2);
    this.#plain.writeUInt32LE(seq >>> 0, at + 6);
    this.#plain.writeUInt16LE(Math.floor(seq / 0x1_0000_0000), at + 10);
    return at;
  }

  id(at: number): string {
    // Not `update(…, "base64url")`: a streaming encoder keeps the odd bytes for the next call.
    this.#encrypted ??= this.#cipher.update(this.#plain.subarray(0, this.#length));
    return this.#encrypted.toString("base64url", at, at + BLOCK_BYTES);
  }
}
