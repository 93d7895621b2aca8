/** Connections that say nothing, from a few addresses. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());

const upgradeFrom = (address: string): { socket: Socket; answer: () => string } => {
  const socket = connect(node.port, "127.0.0.1");
  let came = "";
  socket.on("data", (data: Buffer) => (came += data.toString("latin1")));
  socket.on("error", () => undefined);
  const head = ["GET /v1/ws HTTP/1.1", "Host: x", `X-Forwarded-For: ${address}`, "Upgrade: websocket"];
  const rest = ["Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"];
  socket.write([...head, ...rest, "", ""].join("\r\n"));
  return { socket, answer: () => came.split("\r\n")[0]! };
};

test("silent connections of four addresses do not keep a fifth address from connecting", async () => {
  const silent = [1, 2, 3, 4].flatMap((n) => Array.from({ length: 512 }, () => upgradeFrom(`2001:db8:0:${n}::1`)));
  await until("all are answered", () => silent.every(({ answer }) => answer() !== ""));
  const newcomer = upgradeFrom("192.0.2.7");
  await until("the newcomer is answered", () => newcomer.answer() !== "");
  for (const { socket } of [...silent, newcomer]) socket.destroy();
  expect(newcomer.answer()).toContain("101");
});
