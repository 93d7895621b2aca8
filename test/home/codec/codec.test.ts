import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../../../src/base/errors.ts";
import { shardOf } from "../../../src/domain/address.ts";
import { MessageIds } from "../../../src/domain/message-id.ts";
import { jsonString } from "../../../src/protocol/encode.ts";
import {
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
} from "../../../src/home/messages/codec/ask-codec.ts";
import { decodeCast, encodeCast } from "../../../src/home/messages/codec/cast-codec.ts";
import {
  decodeHandoff,
  decodeOutcome,
  encodeHandoff,
  encodeOutcome,
  type ToldOutcome,
} from "../../../src/home/messages/codec/handoff-codec.ts";
import {
  decodePost,
  decodePostReply,
  encodePost,
  encodePostReply,
  type ToldPostReply,
} from "../../../src/home/messages/codec/post-codec.ts";
import type { Answers, Questions } from "../../../src/home/messages/ask.ts";
import type { Cast } from "../../../src/home/messages/cast.ts";
import type { Handoff } from "../../../src/home/messages/handoff.ts";
import { seeded } from "../../support/seed.ts";
import { ADDRESS, ANSWERS, CASTS, GROUP, HANDOFFS, OUTCOMES, POST, POST_REPLIES, QUESTIONS } from "./messages.ts";

const ids = new MessageIds(new Uint8Array(16));
const kindsOf = <Kind extends string>(all: Record<Kind, unknown>): Kind[] => Object.keys(all) as Kind[];
const asFields = (error: unknown) => {
  const { code, message, retryAfterMs } = error as AppError;
  return { code, message, retryAfterMs };
};

/** What was written is read again. */
function expectSame<Value>(
  values: fc.Arbitrary<Value>,
  throughBytes: (value: Value) => Value,
  seen = (v: Value): unknown => v,
) {
  fc.assert(
    fc.property(values, (value) => expect(seen(throughBytes(value))).toEqual(seen(value) as never)),
    seeded(100),
  );
}

describe("every message between shards is the same after it was bytes", () => {
  test.each(kindsOf(HANDOFFS))("handoff: %s", (kind) => {
    const seen = ({ ...handoff }: object): object => handoff;
    expectSame(HANDOFFS[kind] as fc.Arbitrary<Handoff>, (handoff) => decodeHandoff(encodeHandoff(handoff), ids), seen);
  });

  test("a message that was handed over has its id and its text as at its sender", () => {
    fc.assert(
      fc.property(HANDOFFS.message, (handoff) => {
        const read = decodeHandoff(encodeHandoff(handoff as Handoff), ids);
        if (read.kind !== "message") throw new Error(read.kind);
        // Numbers of streams have 32 bits where they are in ids.
        if (handoff.streamNo < 2 ** 32 && handoff.seq < 2 ** 48)
          expect(read.id).toBe(ids.encode(shardOf(handoff.from), handoff.streamNo, handoff.seq));
        expect(read.textJson).toBe(jsonString(handoff.text));
      }),
      seeded(100),
    );
  });

  test.each(kindsOf(OUTCOMES))("outcome: %s", (kind) => {
    const seen = (outcome: object): object =>
      "error" in outcome ? { ...outcome, error: asFields(outcome.error) } : outcome;
    expectSame(OUTCOMES[kind] as fc.Arbitrary<ToldOutcome>, (outcome) => decodeOutcome(encodeOutcome(outcome)), seen);
  });

  test.each(kindsOf(QUESTIONS))("question and answer: %s", (kind) => {
    const asked = fc.record({
      kind: fc.constant(kind),
      to: ADDRESS,
      question: QUESTIONS[kind] as fc.Arbitrary<Questions[typeof kind]>,
    });
    expectSame(asked, (question) => decodeQuestion(encodeQuestion(question)) as typeof question);
    expectSame(ANSWERS[kind] as fc.Arbitrary<Answers[typeof kind]>, (answer) =>
      decodeAnswer(kind, encodeAnswer(kind, answer)),
    );
  });

  test("post", () => {
    expectSame(fc.record({ group: GROUP, post: POST }), (post) => decodePost(encodePost(post)));
  });

  test.each(kindsOf(POST_REPLIES))("reply to a post: %s", (kind) => {
    const seen = (reply: object): object => ("error" in reply ? { ...reply, error: asFields(reply.error) } : reply);
    expectSame(
      POST_REPLIES[kind] as fc.Arbitrary<ToldPostReply>,
      (reply) => decodePostReply(encodePostReply(reply)),
      seen,
    );
  });

  test.each(kindsOf(CASTS))("cast: %s", (kind) => {
    expectSame(CASTS[kind] as fc.Arbitrary<Cast>, (cast) => decodeCast(encodeCast(cast)));
  });
});

test("what another shard threw is told as an error of the closed list", () => {
  const told = decodeOutcome(encodeOutcome({ kind: "notTaken", error: new TypeError("x is not a function") }));
  expect(told).toMatchObject({ kind: "notTaken", error: { code: "internal" } });
  const unavailable = new AppError("unavailable", "away", { retryAfterMs: 7 });
  expect(decodeOutcome(encodeOutcome({ kind: "notTaken", error: unavailable }))).toMatchObject({ error: unavailable });
});

describe("bytes that nobody wrote", () => {
  const READERS: Record<string, (bytes: Buffer) => unknown> = {
    handoff: (bytes) => decodeHandoff(bytes, ids),
    outcome: decodeOutcome,
    question: decodeQuestion,
    ...Object.fromEntries(
      kindsOf(ANSWERS).map((kind) => [`answer ${kind}`, (bytes: Buffer) => decodeAnswer(kind, bytes)]),
    ),
    post: decodePost,
    reply: decodePostReply,
    cast: decodeCast,
  };
  const WRITTEN: fc.Arbitrary<Buffer>[] = [
    ...Object.values(HANDOFFS).map((all) => all.map((handoff) => encodeHandoff(handoff as Handoff))),
    ...Object.values(OUTCOMES).map((all) => all.map(encodeOutcome)),
    ...kindsOf(QUESTIONS).map((kind) =>
      fc
        .record({ to: ADDRESS, question: QUESTIONS[kind] as fc.Arbitrary<Questions[typeof kind]> })
        .map((asked) => encodeQuestion({ kind, ...asked })),
    ),
    fc.record({ group: GROUP, post: POST }).map(encodePost),
    ...Object.values(POST_REPLIES).map((all) => all.map(encodePostReply)),
    ...Object.values(CASTS).map((all) => all.map(encodeCast)),
  ];

  /** As damage does: cut, longer, or with other bytes somewhere. */
  const damaged = fc
    .record({
      bytes: fc.oneof(...WRITTEN),
      cut: fc.nat(40),
      more: fc.uint8Array({ maxLength: 3 }),
      changes: fc.array(fc.record({ at: fc.nat(200), to: fc.nat(255) }), { maxLength: 3 }),
    })
    .map(({ bytes, cut, more, changes }) => {
      const result = Buffer.concat([bytes.subarray(0, Math.max(0, bytes.length - cut)), more]);
      for (const { at, to } of changes) if (at < result.length) result[at] = to;
      return result;
    });
  const anything = fc
    .oneof(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ min: 120, maxLength: 60 }))
    .map((bytes) => Buffer.from(bytes));

  test.each(Object.keys(READERS))("are refused with a RangeError or are a message: %s", (name) => {
    const read = READERS[name]!;
    let refused = 0;
    fc.assert(
      fc.property(fc.oneof(damaged, anything), (bytes) => {
        try {
          read(bytes);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          refused++;
        }
      }),
      seeded(400),
    );
    expect(refused).toBeGreaterThan(0);
  });

  test.each(Object.keys(READERS))("numbers without an end, and lengths beyond the bytes: %s", (name) => {
    for (let length = 1; length < 400; length += 7) {
      const endless = [Buffer.alloc(length, 0x80), Buffer.from([...Buffer.alloc(length + 9, 0xff), 0, 1])];
      for (const bytes of endless) expect(() => READERS[name]!(bytes)).toThrow(RangeError);
    }
  });
});
