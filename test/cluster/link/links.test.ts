/** Two nodes make their link, and who is no node of this cluster gets none. */
import { beforeEach, expect, test } from "bun:test";
import { createLogger } from "../../../src/base/logger.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { nextTurn } from "../../../src/base/steps.ts";
import { decodeControl } from "../../../src/cluster/control.ts";
import { encodeHandshake, introduce, proofOf } from "../../../src/cluster/link/handshake.ts";
import type { Link } from "../../../src/cluster/link/link.ts";
import { Links } from "../../../src/cluster/link/links.ts";
import { makeMap } from "../../../src/cluster/map/make-map.ts";
import type { MapNode, NodeId } from "../../../src/cluster/map/partition-map.ts";
import { HandClock } from "../../home/hand-clock.ts";
import { twoWires, type TestWire } from "../../support/cluster/two-wires.ts";

const [N1, N2] = ["n1", "n2"] as [NodeId, NodeId];
const NODES = new Map<NodeId, MapNode>([N1, N2].map((id) => [id, { url: `http://${id}:1` }]));
const MAP = makeMap("c", NODES);
const SECRET = Buffer.from("a secret of the cluster");

type Node = { links: Links; opened: Link[]; told: string[] };

let clock: HandClock;
/** Who answers at the address of each node; nobody where there is none. */
let listening: Map<string, (wire: TestWire) => void>;
beforeEach(() => {
  clock = new HandClock();
  listening = new Map();
});

function begin(node: NodeId, { secret = SECRET, directory = `of ${node}`, cluster = "c" } = {}): Node {
  const told: string[] = [];
  const opened: Link[] = [];
  const links = new Links(
    {
      ...{ self: { node, process: "p", directory }, secret, clock, random: systemRandom },
      map: () => ({ ...MAP, cluster }),
      logger: createLogger(
        "info",
        (line) => void told.push(line),
        () => 0,
      ),
      dialer: {
        dial(url, events) {
          const [here, there] = twoWires();
          here.events = events;
          const accept = listening.get(url);
          setImmediate(() => {
            if (accept === undefined) return here.cut();
            accept(there);
            events.opened();
          });
          return here;
        },
      },
    },
    { opened: (link) => void opened.push(link), packet: () => {}, closed: () => {} },
  );
  const accept = (wire: TestWire): void => void (wire.events = links.accept(wire));
  listening.set(`http://${node}:1`, accept);
  return { links, opened, told };
}

async function turns(count = 12): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

test("two nodes have one link, and another one when it has ended", async () => {
  const [one, two] = [begin(N1), begin(N2)];
  one.links.follow();
  two.links.follow();
  await turns();
  expect([one.links.to(N2)?.peer.node, two.links.to(N1)?.peer.node]).toEqual([N2, N1]);
  two.links.to(N1)!.close("cut");
  await turns();
  expect(one.links.to(N2)).toBeUndefined();
  clock.advance(60);
  await turns();
  expect([one.opened.length, two.opened.length]).toEqual([2, 2]);
});

test.each<[string, Parameters<typeof begin>[1], string]>([
  ["another secret", { secret: Buffer.from("another") }, "cluster secret"],
  ["another cluster", { cluster: "d" }, "belongs to the cluster"],
])("a node with %s gets no link, and both sides say why", async (_, changes, why) => {
  const [one, two] = [begin(N1), begin(N2, changes)];
  one.links.follow();
  await turns();
  expect(one.links.to(N2)).toBeUndefined();
  for (const { told } of [one, two]) expect(told.join("\n")).toContain(why);
});

test("a node id that is used twice is refused while the first one runs", async () => {
  const two = begin(N2);
  const [one, twin] = [begin(N1), begin(N1, { directory: "another" })];
  one.links.follow();
  await turns();
  twin.links.follow();
  await turns();
  expect(two.links.to(N1)?.peer.directory).toBe("of n1");
  expect(two.opened).toHaveLength(1);
  expect(twin.told.join("\n")).toContain("running already, with another data directory");
});

test("an address that leads to the node itself, or to a third one, gives no link", async () => {
  const one = begin(N1);
  listening.set("http://n2:1", listening.get("http://n1:1")!);
  one.links.follow();
  await turns();
  expect([...one.links.all()]).toEqual([]);
  expect(one.told.join("\n")).toContain("the map says that n2 is there");
});

/** A stranger's connection to the node. What the node says is kept. */
function stranger(links: Links): { wire: TestWire; said: string[]; isRefused: boolean } {
  const [wire, there] = twoWires();
  const said: string[] = [];
  wire.events = { message: (bytes) => void said.push(bytes.toString()), drained: () => {}, closed: () => {} };
  there.events = links.accept(there);
  return { wire, said, isRefused: there.events === undefined };
}

test("a proof cannot be sent back, or be used again", async () => {
  const { links, opened } = begin(N1);
  const self = introduce({ cluster: "c", node: N2, process: "p", directory: "d" }, systemRandom);
  const first = stranger(links);
  first.wire.send(encodeHandshake({ t: "hello", from: self }));
  await turns();
  const { from, proof } = JSON.parse(first.said[0]!) as { from: typeof self; proof: string };
  first.wire.send(encodeHandshake({ t: "proof", proof }));
  await turns();
  expect(first.said[1]).toContain("refused");
  // A proof that was right once, with the nonce of that time.
  const again = stranger(links);
  again.wire.send(encodeHandshake({ t: "hello", from: self }));
  again.wire.send(encodeHandshake({ t: "proof", proof: proofOf(SECRET, "dial", self, from) }));
  await turns();
  expect(again.said[1]).toContain("refused");
  expect(opened).toEqual([]);
});

test("strangers who hold every place do not keep a node out", async () => {
  const [one, two] = [begin(N1), begin(N2)];
  const strangers = Array.from({ length: 300 }, () => stranger(two.links));
  expect(strangers.every(({ isRefused }) => !isRefused)).toBe(true);
  one.links.follow();
  await turns();
  expect(one.links.to(N2)).toBeDefined();
  expect(strangers.filter(({ wire }) => wire.isClosed).length).toBe(45);
  clock.advance(5001);
  await turns();
  expect(strangers.every(({ wire }) => wire.isClosed)).toBe(true);
});

test.each([
  "nothing",
  "[]",
  "null",
  '{"t":"toString"}',
  '{"t":"mapNote"}',
  '{"t":"map","text":1}',
  '{"t":"owned","shards":[{"shard":1000,"node":"n1","term":1}]}',
  '{"t":"owned","shards":{}}',
  '{"t":"apiKey","ask":-1}',
])("%s is no control packet", (text) => {
  expect(() => decodeControl(Buffer.from(text))).toThrow(RangeError);
});
