/** Two requests in one packet: what the runtime does with them, and that nothing is lost or doubled when they are sent again. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { startTestNode } from "../support/test-node.ts";
import { within } from "../support/wait.ts";

/** Everything that comes back until the server closes, or until there are two answers. */
function answersTo(port: number, requests: string[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  const socket = connect(port, "127.0.0.1", () => void socket.write(requests.join("")));
  socket.on("data", (data) => {
    received += data.toString("latin1");
    if (received.split("HTTP/1.1 ").length > 2) socket.end();
  });
  socket.on("error", () => {});
  socket.on("close", () => resolve(received));
  return within("the answers, or the end of the connection", promise);
}

test("the bare runtime still closes a connection on which a second request comes before the first is answered", async () => {
  // Closes and answers nothing, as docs/operating.md says (HTTP pipelining). A handler that answers at once is not concerned.
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      await new Promise<void>((resolve) => void setImmediate(resolve));
      return new Response("hello");
    },
  });
  const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  try {
    const received = await answersTo(server.port!, [request, request]);
    const mended = "the runtime now answers pipelined requests: remove the note in docs/operating.md, and this test";
    expect(received === "" ? "closed without an answer" : mended).toBe("closed without an answer");
  } finally {
    await server.stop(true);
  }
});

test("two sends in one packet that got no answer are one message each when they are sent again", async () => {
  const node = await startTestNode();
  try {
    const [alice] = (await node.api.users("alice")) as [Credentials];
    const contents = ["one", "two"].map((text) => ({ to: "@alice", text, ref: `ref-${text}` }));
    const requests = contents.map((content) => {
      const body = JSON.stringify(content);
      return [
        "POST /v1/messages HTTP/1.1",
        "Host: x",
        `Authorization: Bearer ${alice.token}`,
        "Content-Type: application/json",
        `Content-Length: ${body.length}`,
        "",
        body,
      ].join("\r\n");
    });
    await answersTo(node.port, requests);
    for (const content of contents) {
      const { status } = await node.api.post("/v1/messages", alice.token, { ...content, retry: true });
      expect([200, 201]).toContain(status);
    }
    expect((await node.api.history(alice, "@alice")).map(({ text }) => text).toSorted()).toEqual(["one", "two"]);
  } finally {
    await node.stop();
  }
});
