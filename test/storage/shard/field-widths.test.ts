import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { str8At, u32At, u48At } from "../../../storage/encoding/byte-reader.ts";
import { ByteWriter } from "../../../storage/encoding/byte-writer.ts";
import { ByteReader } from "../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { seeded } from "../../support/seed.ts";

type Writer = { pos: number; bytes: Buffer };
type Field = { max: number; write(value: number): Writer; read(bytes: Buffer): number };

const byteWriter = (): ByteWriter => new ByteWriter(Buffer.alloc(1024, 0xee));
const byteReader = (bytes: Buffer): ByteReader => new ByteReader(bytes);

function written<W extends Writer>(out: W, write: (out: W) => void): W {
  write(out);
  return out;
}

const FIELDS: [string, Field][] = [
  ["u8", { max: 0xff, write: (n) => written(byteWriter(), (out) => out.u8(n)), read: (bytes) => bytes[0]! }],
  [
    "u16",
    { max: 0xffff, write: (n) => written(byteWriter(), (out) => out.u16(n)), read: (bytes) => bytes.readUInt16LE(0) },
  ],
  [
    "u32",
    { max: 0xffff_ffff, write: (n) => written(byteWriter(), (out) => out.u32(n)), read: (bytes) => u32At(bytes, 0) },
  ],
  [
    "u48",
    { max: 2 ** 48 - 1, write: (n) => written(byteWriter(), (out) => out.u48(n)), read: (bytes) => u48At(bytes, 0) },
  ],
  [
    "a varint of a record",
    {
      max: Number.MAX_SAFE_INTEGER,
      write: (n) => written(byteWriter(), (out) => out.varint(n)),
      read: (bytes) => byteReader(bytes).varint(),
    },
  ],
  [
    "a varint of a segment",
    {
      max: Number.MAX_SAFE_INTEGER,
      write: (n) => written(new GrowingWriter(), (out) => out.varint(n)),
      read: (bytes) => byteReader(bytes).varint(),
    },
  ],
];

const numbers = fc.oneof(
  fc.double(),
  fc.integer({ min: -300, max: 300 }),
  fc.maxSafeInteger(),
  fc.nat({ max: 53 }).chain((bits) => fc.constantFrom(2 ** bits, 2 ** bits - 1, 2 ** bits + 0.5, -(2 ** bits))),
);

describe("a number comes back as it was written, or is refused", () => {
  test.each(FIELDS)("%s", (_name, { max, write, read }) => {
    fc.assert(
      fc.property(numbers, (value) => {
        const fits = Number.isInteger(value) && value >= 0 && value <= max;
        if (fits) expect(read(write(value).bytes)).toBe(value === 0 ? 0 : value);
        else expect(() => write(value)).toThrow(RangeError);
      }),
      seeded(2000),
    );
  });
});

test("a signed number of a segment comes back as it was written, or is refused", () => {
  fc.assert(
    fc.property(numbers, (value) => {
      const write = (): GrowingWriter => written(new GrowingWriter(), (out) => out.signed(value));
      const fits = Number.isInteger(value) && Math.abs(value) <= 2 ** 52 - 1;
      if (fits) expect(byteReader(write().bytes).signed()).toBe(value === 0 ? 0 : value);
      else if (!Number.isInteger(value) || Math.abs(value) > 2 ** 53) expect(write).toThrow(RangeError);
    }),
    seeded(2000),
  );
});

describe("a name comes back as it was written, or is refused and moves nothing", () => {
  const names = fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 300, size: "max" }),
    fc.string({ unit: "grapheme", maxLength: 20 }),
  );
  const isAscii = (name: string): boolean => /^[\0-\x7f]{0,255}$/.test(name); // eslint-disable-line no-control-regex

  test("in a record", () => {
    fc.assert(
      fc.property(names, (name) => {
        const out = byteWriter();
        if (isAscii(name)) {
          out.str8(name);
          expect([str8At(out.bytes, 0), out.pos]).toEqual([name, 1 + name.length]);
        } else {
          expect(() => out.str8(name)).toThrow(RangeError);
          expect(out.pos).toBe(0);
        }
      }),
      seeded(100),
    );
  });

  test("in a segment", () => {
    fc.assert(
      fc.property(names, (name) => {
        const out = new GrowingWriter();
        if (isAscii(name)) {
          out.str8(name);
          expect(byteReader(out.written()).str8()).toBe(name);
        } else if (name.length > 255 || /[^\0-\xff]/.test(name)) {
          // eslint-disable-line no-control-regex
          expect(() => out.str8(name)).toThrow(RangeError);
          expect(out.pos).toBe(0);
        }
      }),
      seeded(100),
    );
  });
});

test("a text that has no room is refused whole, where half of it would fit", () => {
  const out = new ByteWriter(Buffer.alloc(10));
  expect(() => out.utf8("twelve bytes")).toThrow(RangeError);
  expect(() => out.utf8("€€€€")).toThrow(RangeError);
  expect(() => out.raw(new Uint8Array(11))).toThrow(RangeError);
  expect(out.pos).toBe(0);
  out.utf8("ten bytes!");
  expect(out.bytes.toString()).toBe("ten bytes!");
});

test("bytes that are not there are not copied", () => {
  expect(() => new GrowingWriter().copy(new Uint8Array(5), 2, 6)).toThrow(RangeError);
});
