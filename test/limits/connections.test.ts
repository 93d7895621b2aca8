/** How many connections there may be, and of whom. */
import { describe, expect, test } from "bun:test";
import type { UserId } from "../../src/domain/address.ts";
import { Device } from "../support/device.ts";
import { Admission, type AdmissionBounds } from "../../src/edge/socket/admission.ts";
import { HandClock } from "../home/hand-clock.ts";
import { RawUpgrade } from "../support/raw-upgrade.ts";
import { startTestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const ANN = "ann" as UserId;

const BOUNDS: AdmissionBounds = {
  total: 10,
  perAddress: 5,
  beforeHello: 8,
  beforeHelloPerAddress: 3,
  strikes: { perSecond: 0.5, burst: 2 },
};

const setUp = (bounds: Partial<AdmissionBounds>) => {
  const clock = new HandClock();
  const admission = new Admission(
    { ...BOUNDS, total: 1000, perAddress: 1000, beforeHello: 1000, beforeHelloPerAddress: 1000, ...bounds },
    clock,
  );
  return { admission, clock, admit: (address: string) => admission.admit(address) };
};

describe("connections:", () => {
  test("in total", () => {
    const { admit } = setUp({ total: 3 });
    const open = ["a", "b", "c"].map(admit);
    for (const [n, one] of open.entries()) one.saidHello(`user-${n}` as UserId);
    expect(() => admit("d")).toThrow(expect.objectContaining({ code: "unavailable" }));
    open[0]!.ended();
    admit("d");
  });

  test("of one address, and others are not counted with it", () => {
    const { admit } = setUp({ perAddress: 2 });
    const [one] = [admit("a"), admit("a")];
    expect(() => admit("a")).toThrow(expect.objectContaining({ code: "rate_limited" }));
    admit("b");
    one.ended();
    admit("a");
  });

  test("that have not said hello: the address with most of them gives way", () => {
    const { admission, admit } = setUp({ beforeHello: 4 });
    const gone: string[] = [];
    const stranger = (address: string, name: string) => {
      const socket = admit(address);
      socket.onGiveWay(() => gone.push(name));
      return socket;
    };
    const known = stranger("a", "a1");
    for (const name of ["a2", "a3", "a4"]) stranger("a", name);
    expect(() => admit("a")).toThrow(expect.objectContaining({ code: "unavailable" }));
    known.saidHello(ANN);
    stranger("b", "b1");
    stranger("b", "b2");
    stranger("c", "c1");
    expect(gone).toEqual(["a2", "a3"]);
    expect(() => admit("b")).toThrow(expect.objectContaining({ code: "unavailable" }));
    stranger("d", "d1");
    stranger("e", "e1");
    expect(gone).toEqual(["a2", "a3", "b1", "a4"]);
    // Those that give way are open until they have ended.
    expect(admission.open).toBe(9);
  });

  test("of one address that have not said hello", () => {
    const { admit } = setUp({ beforeHelloPerAddress: 2 });
    const [one] = [admit("a"), admit("a")];
    expect(() => admit("a")).toThrow(expect.objectContaining({ code: "rate_limited" }));
    admit("b");
    one.ended();
    admit("a");
  });

  test("an address whose connections are closed for misbehaving waits, and is forgiven", () => {
    const { admit, clock } = setUp({});
    for (let n = 0; n < 3; n++) {
      const one = admit("a");
      one.misbehaved();
      one.ended();
    }
    expect(() => admit("a")).toThrow(expect.objectContaining({ code: "rate_limited" }));
    admit("b");
    clock.advance(2001);
    admit("a");
  });

  test("what has ended is counted once, whatever is said of it", () => {
    const { admit, admission } = setUp({});
    const one = admit("a");
    one.saidHello(ANN);
    one.saidHello(ANN);
    one.ended();
    expect(admission.open).toBe(0);
  });
});

test("connections: beyond the limit the upgrade is answered 503, and when one has gone there is room", async () => {
  const node = await startTestNode({ connectionsMax: 2 });
  try {
    const upgrade = {
      upgrade: "websocket",
      connection: "upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    };
    const devices = [await Device.open(node.url), await Device.open(node.url)];
    const refused = await fetch(`${node.url}/v1/ws`, { headers: upgrade });
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([503, "unavailable"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    await devices[0]!.close();
    await until("there is room", async () => {
      const device = await Device.open(node.url).catch(() => undefined);
      device?.terminate();
      return device !== undefined;
    });
    devices[1]!.terminate();
  } finally {
    await node.stop();
  }
});

describe("connections:", () => {
  test("an address that asks for them too fast waits, whether they were granted or not, and others do not", async () => {
    const node = await startTestNode({ connectRate: 1, addressConnectionsMax: 3 });
    const clients: RawUpgrade[] = [];
    const ask = async (address: string): Promise<string> => {
      const client = new RawUpgrade(node.port, [`X-Forwarded-For: ${address}`]);
      clients.push(client);
      const status = await client.answer();
      await until("the answer is whole", () => status === 101 || client.came.includes("}"));
      const why = /"detail":"([^"]*)"/.exec(client.came)?.[1];
      return why === undefined ? String(status) : `${status} ${why}`;
    };
    try {
      const answers: string[] = [];
      // One comes back each second, however slow this machine is.
      await until(
        "it is too fast",
        async () => answers.push(await ask("192.0.2.1")) > 40 || answers.at(-1)!.includes("a second"),
      );
      expect(answers.slice(0, 10)).toEqual([
        ...Array<string>(3).fill("101"),
        ...Array<string>(7).fill("429 3 connections of your address are open, that is the most; come back in 2000 ms"),
      ]);
      expect(answers.at(-1)).toStartWith("429 your address asks for more than 1 connections a second");
      expect(clients.at(-1)!.came).toMatch(/\r\nretry-after: 1\r\n/i);
      expect(await ask("192.0.2.2")).toBe("101");
    } finally {
      for (const client of clients) client.destroy();
      await node.stop();
    }
  });
});
