/** The send queue of one socket, when the runtime drops a frame or throws. */
import { expect, test } from "bun:test";
import type { ServerWebSocket } from "bun";
import { systemClock } from "../../src/base/clock.ts";
import { Outbox, type OutboxOwner } from "../../src/home/session/outbox.ts";
import { OutboxFlusher } from "../../src/home/session/outbox-flusher.ts";
import { HandClock } from "../home/hand-clock.ts";

const NOTHING: OutboxOwner = { overflowed() {}, queued() {}, failed() {} };

test("behind a frame that was dropped nothing goes out, even if there is room again: the client would not see the hole", () => {
  const sent: string[] = [];
  const socket = {
    sendText(frame: string): number {
      if (frame === "2") return 0;
      sent.push(frame);
      return frame.length;
    },
    cork: (send: () => void): void => send(),
    getBufferedAmount: (): number => 0,
  };
  let overflows = 0;
  const outbox: Outbox = new Outbox(
    socket as unknown as ServerWebSocket<unknown>,
    new OutboxFlusher(systemClock, () => {}),
    1000,
    {
      ...NOTHING,
      overflowed() {
        overflows++;
        outbox.close();
      },
    },
  );
  for (const frame of ["1", "2", "3", "4"]) outbox.push(frame);
  outbox.flush();
  expect([sent, overflows]).toEqual([["1"], 1]);
});

test("frames leave in the order in which they came, whether they may gather or not", async () => {
  const sent: string[] = [];
  const socket = {
    sendText: (frame: string): number => sent.push(frame),
    cork: (send: () => void): void => send(),
    getBufferedAmount: (): number => 0,
  };
  const nothing = (): void => {};
  const clock = new HandClock();
  const flusher = new OutboxFlusher(clock, nothing);
  const outbox = new Outbox(socket as unknown as ServerWebSocket<unknown>, flusher, 1000, NOTHING);
  const slow = { flush: () => clock.advance(2) };
  flusher.addGathering(slow);
  await new Promise((resolve) => void setImmediate(resolve));
  outbox.push("1", true);
  outbox.push("2", true);
  await Promise.resolve();
  expect(sent).toEqual([]);
  outbox.push("3");
  outbox.push("4", true);
  await Promise.resolve();
  expect(sent).toEqual(["1", "2", "3", "4"]);
  outbox.push("5", true);
  clock.advance(2);
  await Promise.resolve();
  expect(sent).toEqual(["1", "2", "3", "4", "5"]);
});

test.each([["one frame"], ["frames together"]])(
  "a socket that throws at %s fails by itself: its session is told, and nothing goes out behind what was lost",
  (what) => {
    let sends = 0;
    const socket = {
      sendText(): number {
        sends++;
        throw new Error("broken");
      },
      cork: (send: () => void): void => send(),
      getBufferedAmount: (): number => 0,
    };
    const errors: unknown[] = [];
    const outbox = new Outbox(
      socket as unknown as ServerWebSocket<unknown>,
      new OutboxFlusher(systemClock, () => {}),
      1000,
      { ...NOTHING, failed: (error) => void errors.push(error) },
    );
    for (const frame of what === "one frame" ? ["1"] : ["1", "2"]) outbox.push(frame);
    outbox.flush();
    outbox.push("3");
    outbox.flush();
    expect([sends, errors]).toEqual([1, [new Error("broken")]]);
  },
);
