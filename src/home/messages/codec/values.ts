/** Codecs of the values in messages between shards: numbers, texts and names. */
import type { ByteReader } from "../../../../storage/encoding/byte-reader.ts";
import type { Offset, Seq, ShardId } from "../../../../storage/types.ts";
import { SHARD_COUNT } from "../../../../storage/types.ts";
import {
  NAME_PATTERN,
  type Address,
  type GroupAddress,
  type UserAddress,
  type UserId,
} from "../../../domain/address.ts";
import { readNumber, type Codec } from "./codec.ts";

/** @throws RangeError above `max` */
function numberUpTo<Value extends number>(max: number): Codec<Value> {
  return {
    write: (out, value) => out.varint(value),
    read: (from) => readNumber(from, max) as Value,
  };
}

/** Whole, from 0. */
export const number: Codec<number> = numberUpTo(Number.MAX_SAFE_INTEGER);
export const seq: Codec<Seq> = numberUpTo(Number.MAX_SAFE_INTEGER);
export const offset: Codec<Offset> = numberUpTo(Number.MAX_SAFE_INTEGER);
export const shardId: Codec<ShardId> = numberUpTo(SHARD_COUNT - 1);

/** UTF-8. */
export const text: Codec<string> = {
  write(out, value) {
    const bytes = Buffer.byteLength(value);
    out.varint(bytes);
    out.reserve(bytes);
    out.utf8(value);
  },
  read: (from) => readText(from),
};

function readText(from: ByteReader): string {
  const bytes = readNumber(from, from.end - from.pos);
  const start = from.skip(bytes);
  return from.bytes.toString("utf8", start, start + bytes);
}

/** One of a closed list of words. */
export function word<Word extends string>(...words: readonly Word[]): Codec<Word> {
  return {
    write: (out, value) => out.varint(words.indexOf(value)),
    read(from) {
      const found = words[readNumber(from)];
      if (found === undefined) throw new RangeError(`none of ${words.join(", ")}`);
      return found;
    },
  };
}

function name<Name extends string>(sigils: string): Codec<Name> {
  return {
    write: (out, value) => out.str8(value),
    read(from) {
      const value = from.str8();
      const bare = sigils === "" ? value : value.slice(1);
      if (!NAME_PATTERN.test(bare) || (sigils !== "" && !sigils.includes(value[0]!)))
        throw new RangeError(`${JSON.stringify(value)} is no name`);
      return value as Name;
    },
  };
}

export const userId: Codec<UserId> = name("");
export const userAddress: Codec<UserAddress> = name("@");
export const groupAddress: Codec<GroupAddress> = name("#");
export const address: Codec<Address> = name("@#");

/** For values that are JSON in the log too. @throws RangeError for a text that is no JSON */
export function json<Value>(): Codec<Value> {
  return {
    write: (out, value) => text.write(out, JSON.stringify(value)),
    read(from) {
      const written = readText(from);
      try {
        return JSON.parse(written) as Value;
      } catch (cause) {
        throw new RangeError("no JSON", { cause });
      }
    },
  };
}
