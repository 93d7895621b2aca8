/** A link over a connection in memory: packets, their priorities, and what ends it. */
import { beforeEach, expect, test } from "bun:test";
import { nextTurn } from "../../../src/base/steps.ts";
import { introduce } from "../../../src/cluster/link/handshake.ts";
import { Link } from "../../../src/cluster/link/link.ts";
import { PacketReader } from "../../../src/cluster/link/packets.ts";
import { PRIORITY, type Priority } from "../../../src/cluster/link/priority.ts";
import { SendQueues } from "../../../src/cluster/link/send-queues.ts";
import type { NodeId } from "../../../src/cluster/map/partition-map.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { HandClock } from "../../home/hand-clock.ts";
import { twoWires, type TestWire } from "../../support/cluster/two-wires.ts";

type Came = [priority: Priority, packet: Buffer];
type End = { link: Link; wire: TestWire; came: Came[]; why: string[] };

let clock: HandClock;
let here: End;
let there: End;
beforeEach(() => {
  clock = new HandClock();
  [here, there] = twoWires().map(endOf) as [End, End];
});

function endOf(wire: TestWire): End {
  const came: Came[] = [];
  const why: string[] = [];
  const peer = introduce({ cluster: "c", node: "n1" as NodeId, process: "p", directory: "d" }, systemRandom);
  const link = new Link(peer, wire, clock, {
    packet: (_, priority, packet) => came.push([priority, packet]),
    closed: (_, said) => why.push(said),
  });
  wire.events = {
    message: (bytes) => link.received(bytes),
    drained: () => link.drained(),
    closed: () => link.close("the connection ended"),
  };
  return { link, wire, came, why };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

async function seconds(count: number): Promise<void> {
  for (let second = 0; second < count; second++) {
    clock.advance(1000);
    await turns(4);
  }
}

test("packets arrive whole and in order within their priority, however long", async () => {
  const lengths = [0, 1, 32 << 10, (32 << 10) + 1, 300_000, 5];
  for (const [at, length] of lengths.entries()) here.link.send(PRIORITY.relay, Buffer.alloc(length, at));
  await turns(20);
  expect(there.came.map(([, { length }]) => length)).toEqual(lengths);
  for (const [at, [, packet]] of there.came.entries()) expect(packet.every((byte) => byte === at)).toBe(true);
});

test("an urgent packet passes a long one of a lower priority", async () => {
  here.link.send(PRIORITY.bulk, Buffer.alloc(4 << 20));
  await turns(1);
  here.link.send(PRIORITY.control, Buffer.from("now"));
  await turns(60);
  expect(there.came.map(([priority]) => priority)).toEqual([PRIORITY.control, PRIORITY.bulk]);
});

test("no priority starves another", () => {
  const queues = new SendQueues();
  const found = new Set<Priority>();
  const reader = new PacketReader((priority) => found.add(priority));
  for (const priority of [1, 2, 3] as Priority[])
    for (let count = 0; count < 100; count++) queues.add(priority, Buffer.alloc(10_000));
  for (let writes = 0; writes < 8; writes++) reader.read(queues.take(64 << 10)!);
  expect(found).toEqual(new Set<Priority>([1, 2, 3]));
});

test("a link whose other end says nothing is closed, one that rests is not", async () => {
  await seconds(30);
  expect(here.link.isClosed).toBe(false);
  there.wire.isStalled = true;
  await seconds(7);
  expect(here.why).toEqual(["the other node was silent for 5000 ms"]);
  await turns(2);
  expect(there.why).toEqual(["the connection ended"]);
});

test("a link that takes nothing is closed, although the other end is heard", async () => {
  here.wire.isStalled = true;
  here.link.send(PRIORITY.messages, Buffer.alloc(100));
  for (let second = 0; second < 12; second++) {
    there.link.send(PRIORITY.control, Buffer.from("here"));
    await seconds(1);
  }
  expect(here.why).toHaveLength(1);
});

test("a queue that is full closes the link, and who waits for room goes on", async () => {
  here.wire.isStalled = true;
  here.link.send(PRIORITY.bulk, Buffer.alloc(3 << 20));
  await turns(2);
  let isThrough = false;
  void here.link.bulkRoom().then(() => (isThrough = true));
  await turns(3);
  expect(isThrough).toBe(false);
  for (let sent = 0; sent < 5; sent++) here.link.send(PRIORITY.control, Buffer.alloc(1 << 20));
  expect(here.why[0]).toContain("is full");
  await turns(1);
  expect(isThrough).toBe(true);
  expect(here.link.send(PRIORITY.control, Buffer.alloc(1))).toBe(false);
});

test("many moves that wait for room go on together, and the link stays", async () => {
  const chunk = 256 << 10;
  const send = async (): Promise<void> => {
    for (let sent = 0; sent < 4; sent++) {
      await here.link.bulkRoom();
      here.link.send(PRIORITY.bulk, Buffer.alloc(chunk));
    }
  };
  await Promise.all(Array.from({ length: 32 }, send));
  await turns(300);
  expect(here.why).toEqual([]);
  expect(there.came).toHaveLength(128);
});

test.each<[string, number[]]>([
  ["a priority that there is not", [4, 0]],
  ["a piece that is longer than the message", [1, 5, 0]],
  ["a piece without bytes that is to go on", [0x81, 0x01, 0]],
  ["a head that is cut short", [0x80]],
])("%s ends the link", (_, bytes) => {
  here.link.received(Buffer.from(bytes));
  expect(here.why[0]).toContain("no packet");
});
