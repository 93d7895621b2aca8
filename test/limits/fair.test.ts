/** When all places are taken: whoever has more gives way to whoever has less. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { UserId } from "../../src/domain/address.ts";
import { Admission } from "../../src/edge/socket/admission.ts";
import { Shares } from "../../src/home/session/shares.ts";
import { HandClock } from "../home/hand-clock.ts";
import { Device } from "../support/device.ts";
import { RawUpgrade } from "../support/raw-upgrade.ts";
import { SEED, seeded } from "../support/seed.ts";
import { startTestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const TOTAL = 16;
/** An eighth is kept for those that have not said hello. */
const PLACES = 14;

const setUp = () => {
  const bounds = { total: TOTAL, perAddress: TOTAL, beforeHello: 100, beforeHelloPerAddress: 100 };
  const admission = new Admission({ ...bounds, strikes: { perSecond: 1, burst: 9 } }, new HandClock());
  const gaveWay: string[] = [];
  let count = 0;
  return {
    admission,
    gaveWay,
    /** Somebody opens a connection, and says hello. */
    open(user: string, address: string) {
      const socket = admission.admit(address);
      const name = `${user} ${++count}`;
      socket.onGiveWay(() => {
        gaveWay.push(name);
        socket.ended();
      });
      try {
        socket.saidHello(user as UserId);
      } catch (error) {
        socket.ended();
        throw error;
      }
      return socket;
    },
  };
};

describe("connections:", () => {
  test("when all are taken the user with most gives one to whoever has less, until they have the same", () => {
    const { open, gaveWay } = setUp();
    for (let n = 0; n < PLACES - 3; n++) open("many", "a");
    for (let n = 0; n < 3; n++) open("few", "b");
    for (let n = 0; n < 5; n++) open("newcomer", "c");
    expect(gaveWay).toEqual(["many 1", "many 2", "many 3", "many 4", "many 5"]);
    expect(() => open("many", "a")).toThrow(expect.objectContaining({ code: "unavailable", retryAfterMs: 10_000 }));
    expect(gaveWay).toHaveLength(5);
  });

  test("many accounts behind one address keep nobody out, and do not come back for those who came", () => {
    const { open, gaveWay } = setUp();
    for (let n = 0; n < PLACES; n++) open(`crowd-${n}`, "a");
    open("one", "b");
    open("two", "c");
    expect(gaveWay).toEqual(["crowd-0 1", "crowd-1 2"]);
    expect(() => open("crowd-0", "a")).toThrow(expect.objectContaining({ code: "unavailable" }));
    expect(gaveWay).toHaveLength(2);
  });

  test("part of the total is kept free for those that have not said hello", () => {
    const { admission, open } = setUp();
    for (let n = 0; n < PLACES; n++) open(`crowd-${n}`, "a");
    const gone: string[] = [];
    for (const [address, name] of [
      ["x", "x1"],
      ["x", "x2"],
    ] as const)
      admission.admit(address).onGiveWay(() => gone.push(name));
    expect(admission.open).toBe(TOTAL);
    // Then the address with most of those gives way, as where too many have not said hello.
    admission.admit("y");
    expect(gone).toEqual(["x1"]);
  });

  test("one that gave way counts until it is gone, and leaves its place at once", () => {
    const { admission } = setUp();
    const sockets = Array.from({ length: TOTAL }, () => admission.admit("a"));
    admission.admit("b");
    expect(admission.open).toBe(TOTAL + 1);
    sockets[0]!.ended();
    expect(admission.open).toBe(TOTAL);
    expect(() => admission.admit("a")).toThrow(expect.objectContaining({ code: "unavailable" }));
  });

  test(`who holds most is known at once (SEED=${SEED})`, () => {
    const steps = fc.array(fc.record({ isAdded: fc.boolean(), key: fc.nat(5), item: fc.nat(9) }), { maxLength: 200 });
    const property = fc.property(steps, (all) => {
      const shares = new Shares<number, string>();
      const model = new Map<number, Set<string>>();
      for (const { isAdded, key, item } of all) {
        const items = model.get(key) ?? new Set();
        model.set(key, items);
        const name = `${key} ${item}`;
        if (isAdded && !items.has(name)) shares.add(key, name);
        if (isAdded) items.add(name);
        else {
          shares.remove(key, name);
          items.delete(name);
        }
        const most = Math.max(0, ...[...model.values()].map(({ size }) => size));
        expect(shares.countOf(key)).toBe(items.size);
        expect(shares.oldestOfMost(most)).toBeUndefined();
        const found = shares.oldestOfMost(most - 1);
        if (most === 0) expect(found).toBeUndefined();
        else expect([...model.values()].some((own) => own.size === most && [...own][0] === found)).toBe(true);
      }
    });
    fc.assert(property, seeded(300));
  });
});

test("connections: a server that is full of one user's takes another's, and tells the one that gives way when to come back", async () => {
  const node = await startTestNode({ connectionsMax: TOTAL });
  const silent: RawUpgrade[] = [];
  try {
    const [ann, ben] = await node.api.users("ann", "ben");
    const devices: Device[] = [];
    for (let n = 0; n < PLACES; n++) devices.push(await node.connect(ann!));
    await (await node.connect(ben!)).say("@ben", "I am here");
    expect((await devices[0]!.end()).code).toBe(4003);
    expect(devices[0]!.all("bye")).toMatchObject([{ code: 4003, afterMs: 10_000 }]);
    await devices[1]!.say("@ann", "and so am I");
    // Those that say nothing take no place of those who do.
    await until("no more are taken", async () => {
      silent.push(new RawUpgrade(node.port, ["X-Forwarded-For: 192.0.2.1"]));
      return (await silent.at(-1)!.answer()) === 503;
    });
    await (await node.connect(ben!)).say("@ben", "and I");
  } finally {
    for (const client of silent) client.destroy();
    await node.stop();
  }
});
