import { expect, test } from "bun:test";
import type { SocketAddress } from "bun";
import { kernelSockets, peerKey } from "../../src/node/kernel-sockets.ts";

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

test("an address has one key however it is written", () => {
  expect(peerKey("::ffff:10.1.2.3", 7)).toBe(peerKey("10.1.2.3", 7));
  expect(peerKey("2001:db8::a:0:1", 7)).toBe(peerKey("2001:0DB8:0:0:0:a:0:1", 7));
  expect(peerKey("fe80::1%eth0", 7)).toBe(peerKey("fe80::1", 7));
  expect(peerKey("::1", 7)).not.toBe(peerKey("::1", 8));
});
