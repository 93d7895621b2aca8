/** The send queue of one socket, when the runtime drops a frame. */
import { expect, test } from "bun:test";
import type { ServerWebSocket } from "bun";
import { systemClock } from "../../src/base/clock.ts";
import { Outbox } from "../../src/socket/outbox.ts";
import { OutboxFlusher } from "../../src/socket/outbox-flusher.ts";

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
    () => {
      overflows++;
      outbox.close();
    },
    () => {},
  );
  for (const frame of ["1", "2", "3", "4"]) outbox.push(frame);
  outbox.flush();
  expect([sent, overflows]).toEqual([["1"], 1]);
});
