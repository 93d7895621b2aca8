import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { within } from "../support/wait.ts";

let node: TestNode;

let ben: Credentials;

beforeAll(async () => {
  node = await startTestNode();
  [ben] = (await node.api.users("ben")) as [Credentials];
});
afterAll(() => node.stop());

/** Sends the head and a part of the body, waits for `meanwhile`, sends the rest. @returns the status line */
async function slowly(
  path: string,
  who: Credentials,
  body: unknown,
  meanwhile: () => Promise<unknown>,
): Promise<string> {
  const text = JSON.stringify(body);
  const socket = connect(node.port, "127.0.0.1");
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${who.token}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`;
  socket.write(head + text.slice(0, 5));
  // Answered on another connection: the head above has been read by then.
  await node.api.get("/v1/conversations", ben.token);
  await meanwhile();
  const answer = new Promise<string>((resolve) =>
    socket.once("data", (data) => resolve(String(data).split("\r\n")[0]!)),
  );
  socket.write(text.slice(5));
  const status = await within("an answer", answer);
  socket.destroy();
  return status;
}

test.each([
  ["/v1/messages", { to: "@ben", text: "from the grave", ref: "slow-1" }],
  ["/v1/sync", { cursor: { epoch: "", timeline: 0, groups: {} }, waitMs: 20_000 }],
])("a device that is logged out while its body of %s dribbles in does nothing any more", async (path, body) => {
  const [again] = (await node.api.users(`ann-${path.slice(4)}`)) as [Credentials];
  const status = await slowly(path, again, body, () => node.api.post("/v1/logout", again.token, {}));
  expect(status).toBe("HTTP/1.1 401 Unauthorized");
  expect((await node.api.get("/v1/conversations", ben.token)).body.conversations).toEqual([]);
});
