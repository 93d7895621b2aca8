import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Load } from "../../bench/load/load.ts";
import { carriedByXml, escapeXml, stanzaEnd, unescapeXml } from "../../bench/peers/xmpp/stanza.ts";
import { seeded } from "../support/seed.ts";
import { startFakeSocketIo, startFakeXmpp, type Lie } from "./fake-peers.ts";

const LINES = ["one", "a <b> & \"c\" 'd' </body></message>", "drei – ünïcödé ✓ 😀", "\x0304red\x0f", "x".repeat(700)];
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const SERVERS = { xmpp: startFakeXmpp, "socket.io": startFakeSocketIo } as const;
type Protocol = keyof typeof SERVERS;

async function connectedLoad(protocol: Protocol, server: { port: number; stop(): void }): Promise<Load> {
  ends.unshift(server.stop);
  const load = new Load(300);
  const pairs = ["0", "1"].map((at) => ({
    first: { user: `a${at}`, token: "" },
    second: { user: `b${at}`, token: "" },
  }));
  await load.connect({ hostname: "127.0.0.1", port: server.port, serverPid: process.pid, protocol }, pairs, LINES);
  ends.unshift(() => load.end());
  return load;
}

const nth = (count: number, lie: Lie): Lie => {
  let messages = 0;
  return (message, pass) => (++messages === count ? lie(message, pass) : pass(message));
};

describe.each(Object.keys(SERVERS) as Protocol[])("the load with %s", (protocol) => {
  const loadOf = (lie?: Lie) => connectedLoad(protocol, SERVERS[protocol](lie));

  test("delivers every message, whatever its text, and counts what it sent", async () => {
    const load = await loadOf();
    const figures = await load.closedLoop(4, 10, 60);
    expect(figures.delivered).toBeGreaterThan(0);
    expect(figures.p99Ms).toBeGreaterThanOrEqual(figures.p50Ms);
    expect(load.sent).toBeGreaterThanOrEqual(figures.delivered);
    expect((await load.openLoop(200, 10, 60)).delivered).toBeGreaterThan(0);
  });

  test("a changed text is caught", async () => {
    const load = await loadOf((message, pass) => pass(message.replace(/(<body>|"text":")/, "$1!")));
    await expect(load.closedLoop(1, 10, 50)).rejects.toThrow("message 0 of");
  });

  test("a message that is handed over twice is caught", async () => {
    const load = await loadOf((message, pass) => {
      pass(message);
      pass(message);
    });
    await expect(load.closedLoop(1, 10, 50)).rejects.toThrow(/got (message 0 of \w+, not 1|id (\d+) after \2)/);
  });

  test("one lost message fails the run", async () => {
    const load = await loadOf(nth(13, () => {}));
    await expect(load.closedLoop(1, 10, 200)).rejects.toThrow(
      /not delivered|got \d+ messages|got message|which is not the next one|got the receipt/,
    );
  });

  test("messages that change places are caught", async () => {
    let held: (() => void) | undefined;
    const load = await loadOf((message, pass) => {
      // The first message of a0 waits for the second.
      if (held === undefined && message.includes("a0")) held = () => pass(message);
      else if (message.includes("a0")) {
        pass(message);
        held?.();
        held = () => {};
      } else pass(message);
    });
    await expect(load.closedLoop(2, 10, 100)).rejects.toThrow(/got message 1 of a0, not 0|message 0 of a0 is/);
  });
});

test("stanzas are read wherever the network splits them", async () => {
  const load = await connectedLoad("xmpp", startFakeXmpp(undefined, 7));
  expect((await load.closedLoop(2, 10, 100)).delivered).toBeGreaterThan(0);
});

test("an error in the place of a receipt fails the run with what the server said", async () => {
  const bounced: Lie = (message, pass) => pass(message.replace("type='chat'", "type='error'"));
  const load = await connectedLoad("xmpp", startFakeXmpp(bounced));
  await expect(load.closedLoop(1, 10, 50)).rejects.toThrow("type='error'");
});

describe("of XML", () => {
  test("any text arrives as it was sent, but for characters that XML cannot carry", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const carried = carriedByXml(text);
        expect(carried).not.toMatch(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/);
        expect([...carried].length).toBe([...text].length);
        expect(escapeXml(carried)).not.toContain("<");
        expect(unescapeXml(escapeXml(carried))).toBe(carried);
      }),
      seeded(100),
    );
    expect(carriedByXml("\x0304red\x0f, höllo ✓ 😀 \ud800!")).toBe(" 04red , höllo ✓ 😀 \ufffd!");
  });

  test("entities and numbers are read, and what is neither stays", () => {
    expect(unescapeXml("&lt;&#65;&#x1F600;&quot;&apos;&unknown;&")).toBe("<A😀\"'&unknown;&");
  });

  test("an element ends at its closing tag, an empty one and the stream's at their first", () => {
    const ends = (text: string) => text.slice(0, Math.max(0, stanzaEnd(text, 0)));
    expect(ends("<a x='1'><b/></a><a/>")).toBe("<a x='1'><b/></a>");
    expect(ends("<r xmlns='x'/><a>")).toBe("<r xmlns='x'/>");
    expect(ends("<?xml version='1.0'?><stream:stream>")).toBe("<?xml version='1.0'?>");
    expect(ends("<stream:stream to='x'><stream:features>")).toBe("<stream:stream to='x'>");
    expect(ends("<stream:features><bind/></stream:features>…")).toBe("<stream:features><bind/></stream:features>");
    for (const part of ["<", "<message", "<message to='x'>", "<message to='x'>…</messag", "<iq><query/></iq"])
      expect(stanzaEnd(part, 0)).toBe(-1);
  });
});
