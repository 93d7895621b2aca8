import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { ParleyError } from "../../src/client/errors.ts";
import { SendQueue } from "../../src/client/send-queue.ts";
import type { SendFrame } from "../../src/protocol/frames.ts";
import { seeded } from "../support/seed.ts";

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: "add" as const }) },
  { weight: 6, arbitrary: fc.constant({ do: "send" as const }) },
  { weight: 4, arbitrary: fc.constant({ do: "ack" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("refuse" as const), at: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reject" as const), at: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("found" as const), at: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.constant({ do: "cut" as const }) },
  { weight: 2, arbitrary: fc.constant({ do: "wait" as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const sent = (ref: string) => ({ t: "sent" as const, ref, id: ref, conversation: "@bob", seq: 1, sentAt: 1 });
const numberOf = (frame: SendFrame) => Number(frame.ref);

/** Drives a queue beside the plainest thing that could be right: a list of what is not settled, and which of it is in flight. */
function run(steps: readonly Step[]): void {
  let window = 3;
  const queue = new SendQueue({ max: 1000, marksFirst: false });
  const open: number[] = [];
  const flying: SendFrame[] = [];
  const sentOnce = new Set<string>();
  const settled = new Map<string, number>();
  let added = 0;
  let nowMs = 0;
  const settle = (ref: string) => () => void settled.set(ref, (settled.get(ref) ?? 0) + 1);
  const sendOne = () => {
    const frame = queue.next(nowMs, 3);
    const waiting = open.filter((n) => !flying.some((each) => numberOf(each) === n));
    const isPaused = nowMs < queue.pausedUntilMs;
    if (flying.length >= window || isPaused || waiting.length === 0) return expect(frame).toBeUndefined();
    // The oldest that waits goes first: whatever was sent before is older than whatever was not.
    expect(frame === undefined ? undefined : numberOf(frame)).toBe(waiting[0]);
    if (frame === undefined) return;
    expect(frame.retry === true).toBe(sentOnce.has(frame.ref));
    sentOnce.add(frame.ref);
    flying.push(frame);
  };
  const end = (ref: string) => {
    open.splice(open.indexOf(Number(ref)), 1);
    const at = flying.findIndex((frame) => frame.ref === ref);
    if (at >= 0) flying.splice(at, 1);
  };
  for (const each of steps) {
    const target = "at" in each ? flying[each.at]?.ref : flying[0]?.ref;
    switch (each.do) {
      case "add": {
        const ref = String(added);
        open.push(added++);
        queue.add({ ref, to: "@bob", text: "x" }, { resolve: settle(ref), reject: settle(ref) });
        break;
      }
      case "send":
        sendOne();
        break;
      case "ack":
        if (target !== undefined) {
          expect(queue.acked(sent(target))).toBe(true);
          expect(queue.acked(sent(target))).toBe(false);
          end(target);
          window = Math.min(3, window * 2);
        }
        break;
      case "refuse":
        if (target !== undefined) {
          expect(queue.refused(target, new ParleyError("rate_limited", "", { retryAfterMs: 5 }), nowMs)).toBe("again");
          flying.splice(each.at, 1);
          window = 1;
        }
        break;
      case "reject":
        if (target !== undefined) {
          expect(queue.refused(target, new ParleyError("blocked", ""), nowMs)).toBe("final");
          end(target);
        }
        break;
      case "found": {
        const ref = open[each.at];
        if (ref !== undefined) {
          queue.acked(sent(String(ref)));
          end(String(ref));
          window = Math.min(3, window * 2);
        }
        break;
      }
      case "cut":
        queue.disconnected();
        flying.length = 0;
        break;
      case "wait":
        nowMs += 3;
    }
    expect(queue.size).toBe(open.length);
  }
  queue.rejectAll(new ParleyError("unavailable", "over"));
  for (let n = 0; n < added; n++) expect(settled.get(String(n))).toBe(1);
}

test(`the send queue sends the oldest waiting first, marks repeats, and settles each send once`, () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 200, size: "max" }), run), seeded(400));
});

test("a queue that marks first sends marks them all", () => {
  const queue = new SendQueue({ max: 10, marksFirst: true });
  queue.add({ ref: "1", to: "@bob", text: "x" }, { resolve: () => {}, reject: () => {} });
  expect(queue.next(0, 1)?.retry).toBe(true);
});
