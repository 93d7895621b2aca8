import { expect, test } from "bun:test";
import { connect } from "node:net";
import type { SocketAddress } from "bun";
import { kernelSockets, peerKey } from "../../src/node/kernel-sockets.ts";
import { within } from "../support/wait.ts";

const HOSTS = [
  ["127.0.0.1", "127.0.0.1"],
  ["::", "127.0.0.1"],
  ["::", "::1"],
] as const;

/** What the kernel says of every connection to this port. */
function peersSeen(port: number): string[] {
  const kernel = kernelSockets()!;
  const peers = Array.from({ length: 256 }, (_, descriptor) => kernel.at(descriptor, port)?.peer);
  kernel.close();
  return peers.filter((peer) => peer !== undefined);
}

test.each(HOSTS)(
  "the runtime and the kernel mean the same other end: listening on %s, called by %s",
  async (host, by) => {
    let seen: { address: SocketAddress; peers: string[] } | undefined;
    const answer = (request: Request, server: Bun.Server<undefined>): Response => {
      seen = { address: server.requestIP(request)!, peers: peersSeen(server.port!) };
      return new Response("");
    };
    let server: Bun.Server<undefined>;
    try {
      server = Bun.serve({ hostname: host, port: 0, fetch: answer });
    } catch {
      // A machine without IPv6.
      expect(host).toBe("::");
      return;
    }
    await fetch(`http://${by.includes(":") ? `[${by}]` : by}:${server.port}/`);
    const { address, peers } = seen!;
    expect(peers).toEqual([peerKey(address.address, address.port)]);
    await server.stop(true);
  },
);

test("the kernel counts the read bytes of a connection, and not the unread ones", async () => {
  const kernel = kernelSockets()!;
  const seen: { kernel: number | undefined; runtime: number }[] = [];
  let runtime = 0;
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const BYTES = 3_000_000;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(_socket, { length }) {
        runtime += length;
        const found = Array.from({ length: 256 }, (_, n) => kernel.at(n, server.port)).find((at) => at !== undefined);
        seen.push({ kernel: kernel.bytesRead(found!), runtime });
        if (runtime === BYTES) resolve();
      },
    },
  });
  const socket = connect(server.port, "127.0.0.1");
  socket.write(Buffer.alloc(BYTES));
  await within("all to come", done);
  // Bytes may come between the kernel's two answers: then it says too few, never too many.
  for (const { kernel: read, runtime: had } of seen) expect(read).toBeLessThanOrEqual(had);
  expect(seen.at(-1)).toEqual({ kernel: BYTES, runtime: BYTES });
  socket.destroy();
  server.stop(true);
  kernel.close();
});

test("an address has one key however it is written", () => {
  expect(peerKey("::ffff:10.1.2.3", 7)).toBe(peerKey("10.1.2.3", 7));
  expect(peerKey("2001:db8::a:0:1", 7)).toBe(peerKey("2001:0DB8:0:0:0:a:0:1", 7));
  expect(peerKey("fe80::1%eth0", 7)).toBe(peerKey("fe80::1", 7));
  expect(peerKey("::1", 7)).not.toBe(peerKey("::1", 8));
});
