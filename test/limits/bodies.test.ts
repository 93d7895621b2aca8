/** Bodies of calls that take their time. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { BodiesUnderWay } from "../../src/edge/http/bodies-under-way.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());

/** A login whose body is all but its last byte here. */
function slowLogin(address: string) {
  const socket = connect(node.port, "127.0.0.1");
  let came = "";
  socket.on("data", (data: Buffer) => (came += data.toString("latin1")));
  socket.on("error", () => undefined);
  const head = ["POST /v1/login HTTP/1.1", "Host: x", `X-Forwarded-For: ${address}`, "Content-Length: 65536"];
  socket.write([...head, "", "x".repeat(65_535)].join("\r\n"));
  return { socket, status: () => came.split(" ")[1] };
}

describe("bodies of strangers:", () => {
  test("those of all addresses together are bounded, too", async () => {
    const bodies = new BodiesUnderWay({ bytesPerClient: 5000, bytesInAll: 8000 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const slow = ["a", "b"].map((client) => bodies.read(client, 4000, () => promise));
    const more = bodies.read("c", 2000, () => promise);
    await expect(more).rejects.toMatchObject({ code: "unavailable", retryAfterMs: 1000 });
    expect(await bodies.read("c", 100, async () => "a login")).toBe("a login");
    resolve("there");
    expect(await Promise.all(slow)).toEqual(["there", "there"]);
    expect(await bodies.read("c", 2000, async () => "now")).toBe("now");
  });

  test("those on their way are bounded, and a login goes through", async () => {
    const slow = Array.from({ length: 40 }, () => slowLogin("192.0.2.1"));
    await until("what is too much is refused", () => slow.filter(({ status }) => status() === "429").length === 8);
    const body = JSON.stringify({ user: "nobody", password: "wrong" });
    const login = (address: string) =>
      fetch(`${node.url}/v1/login`, { method: "POST", body, headers: { "x-forwarded-for": address } });
    expect((await login("192.0.2.1")).status).toBe(401);
    const others = Array.from({ length: 3 }, () => slowLogin("192.0.2.2"));
    for (const { socket } of [...slow, ...others]) socket.write("x");
    await until("the others are answered", () => [...slow, ...others].every(({ status }) => status() !== undefined));
    expect(others.map(({ status }) => status())).toEqual(["400", "400", "400"]);
    for (const { socket } of [...slow, ...others]) socket.destroy();
    const again = slowLogin("192.0.2.1");
    again.socket.write("x");
    await until("it is answered", () => again.status() !== undefined);
    expect(again.status()).toBe("400");
    again.socket.destroy();
  });
});
