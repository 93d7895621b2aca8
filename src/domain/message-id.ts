/**
 * The server's id of a message: 22 URL-safe characters, one AES block that says where the message stands.
 *
 *     u16 shard | u32 stream number | u48 seq | u32 zero        encrypted with the cluster's id key, base64url
 *
 * Deterministic, so nothing is stored and everybody gets the same id; encrypted, so nobody reads another person's seq out of it; the zeros
 * reject made-up ids. One block and no chaining is right here: every plain text is unique.
 */
import { createCipheriv, createDecipheriv, type Cipheriv } from "node:crypto";
import type { Seq, ShardId } from "../../storage/types.ts";

export type MessagePlace = { shard: ShardId; streamNo: number; seq: Seq };

export const ID_KEY_BYTES = 16;
const ID_PATTERN = /^[A-Za-z0-9_-]{22}$/;

export class MessageIds {
  readonly #key: Uint8Array;
  readonly #cipher: Cipheriv;
  readonly #block = Buffer.alloc(16);

  constructor(key: Uint8Array) {
    this.#key = key;
    this.#cipher = createCipheriv("aes-128-ecb", key, null).setAutoPadding(false);
  }

  encode(shard: ShardId, streamNo: number, seq: Seq): string {
    const block = this.#block;
    block.writeUInt16LE(shard, 0);
    block.writeUInt32LE(streamNo, 2);
    block.writeUIntLE(seq, 6, 6);
    // Not `update(…, "base64url")`: a streaming encoder keeps the odd bytes for the next call.
    return this.#cipher.update(block).toString("base64url");
  }

  /** Undefined for what this cluster never gave out. */
  decode(id: string): MessagePlace | undefined {
    if (!ID_PATTERN.test(id)) return undefined;
    const decipher = createDecipheriv("aes-128-ecb", this.#key, null).setAutoPadding(false);
    const block = decipher.update(Buffer.from(id, "base64url"));
    if (block.length !== 16 || block.readUInt32LE(12) !== 0) return undefined;
    return {
      shard: block.readUInt16LE(0) as ShardId,
      streamNo: block.readUInt32LE(2),
      seq: block.readUIntLE(6, 6) as Seq,
    };
  }
}
