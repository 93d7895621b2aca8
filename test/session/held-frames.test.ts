/** Frames that need somebody who is not in memory: what comes behind them keeps its place (G4), and a ref stays one message (G2). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

/** Each look at it takes 5 ms, so that every step of a load has a turn of the event loop for itself, and all else gets in between. */
let looks = 0;
const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() + 5 * ++looks };

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ sendBurst: 100_000 }, { clock });
});
afterAll(() => node.stop());

const AWAY = 40;

/** Somebody, and others of whom nobody is loaded. All are in a group of their own with the first. */
async function afterARestart(name: string): Promise<{ who: Credentials; away: string[] }> {
  const who = await node.api.user(name, "phone");
  const away = Array.from({ length: AWAY }, (_, n) => `${name}-${n}`);
  for (const other of await node.api.users(...away)) await node.api.group(who, other.user, [other.user]);
  const before = await node.connect(who);
  for (const other of away) await before.say(`@${other}`, "hello");
  await node.restart();
  return { who, away };
}

test("what a device says in one order is committed in that order, whoever has to be loaded first", async () => {
  const { who, away } = await afterARestart("ann");
  const device = await node.connect(who);
  const refs: string[] = [];
  for (const other of away) {
    refs.push(device.post(`@${other}`, "to somebody who is away"));
    refs.push(device.post("@ann", "a note"));
    device.send({ t: "read", conversation: `@${other}`, seq: 1 });
    device.post(`#${other}`, "to a group that is not loaded");
  }
  const seqs: number[] = [];
  for (const ref of refs) seqs.push(((await device.answerTo(ref)) as { seq: number }).seq);
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  expect(new Set(seqs).size).toBe(2 * AWAY);
  const notes = await node.api.history(who, "@ann");
  expect(notes.map(({ ref }) => ref)).toEqual(refs.filter((_, at) => at % 2 === 1));
});

test("one ref said by two devices at once to somebody who is not loaded is one message", async () => {
  const { who, away } = await afterARestart("ben");
  const phone = await node.connect(who);
  const laptop = await node.connect(await node.api.user("ben", "laptop"));
  const seqs = new Map<string, Set<number>>();
  const note = (ref: string, seq: number) => void seqs.set(ref, (seqs.get(ref) ?? new Set()).add(seq));
  for (const other of away) {
    const ref = phone.ref();
    phone.post(`@${other}`, "once", ref, true);
    laptop.post(`@${other}`, "once", ref, true);
    const input = { to: `@${other}`, text: "once", ref };
    const [one, another, third] = await Promise.all([
      phone.answerTo(ref),
      laptop.answerTo(ref),
      node.api.post("/v1/messages", who.token, input),
    ]);
    for (const { seq } of [one as { seq: number }, another as { seq: number }, third.body as { seq: number }])
      note(ref, seq);
  }
  expect([...seqs.values()].map(({ size }) => size)).toEqual(away.map(() => 1));
  for (const other of away.slice(0, 5)) expect(await node.api.history(who, `@${other}`)).toHaveLength(2);
});

test("a message to nobody is refused behind those before it, and pays like any other", async () => {
  const { who, away } = await afterARestart("cat");
  const device = await node.connect(who);
  const first = device.post(`@${away[0]}`, "hello");
  const nobody = device.post("@nobody-at-all", "hello");
  const group = device.post("#no-such-group", "hello");
  const last = device.post(`@${away[1]}`, "hello");
  const answers = [];
  for (const ref of [first, nobody, group, last]) answers.push(await device.answerTo(ref));
  expect(answers.map((answer) => (answer.t === "error" ? answer.code : answer.t))).toEqual([
    "sent",
    "unknown_address",
    "unknown_address",
    "sent",
  ]);
});
