import { expect, test } from "bun:test";
import { Connections } from "../../src/node/connections.ts";
import { HandClock } from "../home/hand-clock.ts";

const peerOf = (port: number) => ({ address: "127.0.0.1", port, family: "IPv4" as const });
const socket = { hasRead: () => false, lingerMs: 0, gone: () => {} };

test("when connections use all descriptors, WebSockets are refused; closed ones that have not gone count", () => {
  const connections = new Connections(new HandClock());
  connections.max = 2;
  connections.onClosed = () => {};
  const close = connections.open(peerOf(1), socket);
  const done = connections.use(peerOf(2));
  expect(connections.refusal()).toMatchObject({
    code: "unavailable",
    message: "the server has as many connections as it can (2); try again later",
    retryAfterMs: 5000,
  });
  close();
  expect([connections.count, connections.refusal()?.code]).toEqual([2, "unavailable"]);
  done();
  expect(connections.refusal()).toBeUndefined();
  connections.isFull = true;
  expect([connections.refusal()?.code, connections.refused]).toEqual(["unavailable", 3]);
});

test("a closed WebSocket is not in use: when descriptors are short it may be ended sooner", () => {
  const connections = new Connections(new HandClock());
  connections.onClosed = () => {};
  const close = connections.open(peerOf(1), socket);
  expect(connections.isInUse("127.0.0.1 1")).toBe(true);
  close();
  expect(connections.isInUse("127.0.0.1 1")).toBe(false);
});
