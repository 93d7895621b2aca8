/** A socket that the runtime cannot serve any more: it ends, by itself. */
import { expect, test } from "bun:test";
import { CLOSE } from "../../src/protocol/codes.ts";
import { lonelySession } from "../support/lonely-session.ts";

const fail = (): never => {
  throw new Error("broken");
};

test("one that cannot be written to is closed: its client comes back and misses nothing (G7)", () => {
  const { socket, session, logged } = lonelySession(0);
  socket.sendText = fail;
  session.close(CLOSE.badToken, "logged out");
  expect(socket.closeCode).toBe(CLOSE.badToken);
  expect(logged).toHaveLength(1);
});

test("one that cannot even be closed is ended", () => {
  const { socket, session } = lonelySession(0);
  let closes = 0;
  const { close } = socket;
  socket.close = (code) => (closes++ === 0 ? fail() : close.call(socket, code));
  session.failed(new Error("broken"));
  expect(socket.isTerminated).toBe(true);
});
