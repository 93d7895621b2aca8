/**
 * Messages between shards as bytes. A value is its fields in the order of its codec, without names.
 *
 *     number    varint
 *     text      varint bytes | UTF-8
 *     optional  u8 0 | u8 1, value
 *     list      varint count | value…
 *
 * A codec names each field of its type, so a new field of the type has to be added here. Reading never goes beyond the
 * bytes of the message: for any bytes it returns a value or throws a RangeError.
 */
import { ByteReader } from "../../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../../storage/encoding/byte-writer.ts";

export type Codec<Value> = {
  write(out: GrowingWriter, value: Value): void;
  /** @throws RangeError for bytes that `write` never makes */
  read(from: ByteReader): Value;
};

/** Of one message. A page of a log is far smaller. */
const MESSAGE_BYTES_MAX = 32 << 20;

/** @throws RangeError for a message that the receiver would refuse */
export function encodeMessage<Value>(codec: Codec<Value>, value: Value): Buffer {
  const out = new GrowingWriter();
  codec.write(out, value);
  if (out.pos > MESSAGE_BYTES_MAX)
    throw new RangeError(`a message of ${out.pos} bytes, the most is ${MESSAGE_BYTES_MAX}`);
  return out.written();
}

/** @throws RangeError for bytes that are no such message */
export function decodeMessage<Value>(codec: Codec<Value>, bytes: Buffer): Value {
  if (bytes.length > MESSAGE_BYTES_MAX)
    throw new RangeError(`a message of ${bytes.length} bytes, the most is ${MESSAGE_BYTES_MAX}`);
  const from = new ByteReader(bytes);
  const value = codec.read(from);
  if (from.pos !== from.end) throw new RangeError(`a message ends at byte ${from.pos} of ${from.end}`);
  return value;
}

/** Always a whole number, whatever the bytes. @throws RangeError above `max` */
export function readNumber(from: ByteReader, max = Number.MAX_SAFE_INTEGER): number {
  const value = from.varint();
  if (value <= max) return value;
  throw new RangeError(`${value} where at most ${max} can stand`);
}

/** Takes no bytes. */
export const nothing: Codec<undefined> = { write() {}, read: () => undefined };

export function optional<Value>(codec: Codec<Value>): Codec<Value | undefined> {
  return {
    write(out, value) {
      bool.write(out, value !== undefined);
      if (value !== undefined) codec.write(out, value);
    },
    read: (from) => (bool.read(from) ? codec.read(from) : undefined),
  };
}

export function list<Value>(codec: Codec<Value>): Codec<readonly Value[]> {
  return {
    write(out, values) {
      out.varint(values.length);
      for (const value of values) codec.write(out, value);
    },
    read(from) {
      // Each value takes at least one byte.
      const count = readNumber(from, from.end - from.pos);
      return Array.from({ length: count }, () => codec.read(from));
    },
  };
}

/** A codec for each field of a type. */
export type FieldCodecs<Value> = { readonly [Key in keyof Value]-?: Codec<Value[Key]> };

/** Fields that are undefined are absent after reading. */
export function fields<Value extends object>(codecs: FieldCodecs<Value>): Codec<Value> {
  const all = Object.entries(codecs) as [keyof Value, Codec<unknown>][];
  return {
    write(out, value) {
      for (const [key, codec] of all) codec.write(out, value[key]);
    },
    read(from) {
      const value: Partial<Value> = {};
      for (const [key, codec] of all) {
        const field = codec.read(from);
        if (field !== undefined) value[key] = field as Value[typeof key];
      }
      return value as Value;
    },
  };
}

type Kinds<Value extends { kind: string }> = {
  readonly [Kind in Value["kind"]]: readonly [code: number, codec: Codec<Omit<Extract<Value, { kind: Kind }>, "kind">>];
};

/**
 * One of several kinds: `u8 code | its fields`. The code of a kind never changes, and is never given to another kind.
 */
export function oneOf<Value extends { kind: string }>(kinds: Kinds<Value>): Codec<Value> {
  const all = Object.entries(kinds) as [Value["kind"], readonly [number, Codec<object>]][];
  const byKind = new Map(all);
  const byCode = new Map(all.map(([kind, [code, codec]]) => [code, { kind, codec }]));
  if (byCode.size !== all.length) throw new Error("two kinds of message have the same code");
  return {
    write(out, value) {
      const [code, codec] = byKind.get(value.kind)!;
      out.varint(code);
      codec.write(out, value);
    },
    read(from) {
      const code = readNumber(from);
      const found = byCode.get(code);
      if (found === undefined) throw new RangeError(`unknown kind of message: ${code}`);
      return { kind: found.kind, ...found.codec.read(from) } as unknown as Value;
    },
  };
}

export const bool: Codec<boolean> = {
  write: (out, value) => out.varint(value ? 1 : 0),
  read: (from) => readNumber(from, 1) === 1,
};
