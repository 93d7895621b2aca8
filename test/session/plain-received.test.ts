import { expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { decodeFrame } from "../../src/home/session/decode-frame.ts";
import { plainReceived } from "../../src/home/session/plain-received.ts";
import { seeded } from "../support/seed.ts";

const frame = (seq: string): string => `{"t":"received","seq":${seq}}`;

test("a received as clients write it is read without JSON.parse", () => {
  expect(
    [0, 7, 120_345, 99_999_999_999_999].map((seq) => plainReceived(JSON.stringify({ t: "received", seq }))),
  ).toEqual([0, 7, 120_345, 99_999_999_999_999]);
});

test.each([
  [""],
  ["}"],
  [frame("")],
  [frame("01")],
  [frame("00")],
  [frame("-1")],
  [frame("1.0")],
  [frame("1e3")],
  [frame(" 1")],
  [frame('"1"')],
  [frame('1,"seq":2')],
  [frame("999999999999999")],
  [frame("1") + " "],
  [frame("1").slice(0, -1)],
  ['{"t":"received","conversation":"#a","seq":1}'],
])("%s is left to JSON.parse", (text) => {
  expect(plainReceived(text)).toBeUndefined();
});

test("it makes no difference to what a frame is decoded to, or why it is refused", () => {
  const digit = fc.constantFrom(..."0123456789");
  const odd = fc.constantFrom(...'0123456789.-+eE ,:}{"n', "٣", "Infinity");
  const text = fc.oneof(
    fc.string({ unit: digit, minLength: 1, maxLength: 17 }).map(frame),
    fc.string({ unit: odd, maxLength: 6 }).map(frame),
    fc.tuple(fc.nat({ max: 25 }), odd).map(([at, char]) => frame("12").slice(0, at) + char + frame("12").slice(at + 1)),
  );
  fc.assert(
    // A space in front is no plain frame any more, and the same JSON.
    fc.property(text, (text) =>
      expect(decodeFrame(text, DEFAULT_LIMITS)).toEqual(decodeFrame(` ${text}`, DEFAULT_LIMITS)),
    ),
    seeded(5000),
  );
});
