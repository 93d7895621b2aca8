import { expect, test } from "bun:test";
import { DeviceView } from "../../scripts/irc/device-view.ts";
import { dueTimes } from "../../scripts/irc/play.ts";
import { parseDay } from "../../scripts/irc/parse.ts";
import { Patience } from "../../scripts/irc/patience.ts";
import { planImport } from "../../scripts/irc/plan.ts";
import { compareOrder, StreamCheck, type SeenMessage } from "../../scripts/irc/stream-check.ts";
import { drawMoments, placeOf } from "../../scripts/irc/under-fire.ts";
import { compareCopies, compareWithPlan, spread } from "../../scripts/irc/verify-history.ts";

const message = (seq: number, text = `text ${seq}`): SeenMessage => ({
  id: `id-${seq}`,
  seq,
  from: seq % 2 === 0 ? "ann" : "bob",
  text,
});
const messages = (...seqs: number[]) => seqs.map((seq) => message(seq));
const CLEAN = { lost: 0, duplicated: 0, misordered: 0 };

function seen(list: SeenMessage[]): StreamCheck {
  const check = new StreamCheck();
  for (const one of list) check.note(one);
  return check;
}

test("a device that got everything once and in order differs in nothing", () => {
  const all = messages(...Array.from({ length: 500 }, (_, at) => at * 3 + 1));
  expect(seen(all).compare(all)).toEqual(CLEAN);
});

test("a device's missing, repeated, foreign, late and altered messages are each found", () => {
  const all = messages(1, 2, 3, 40);
  expect(seen(messages(1, 2, 40)).compare(all)).toEqual({ ...CLEAN, lost: 1 });
  expect(seen(messages(1, 2, 2, 3, 40, 1)).compare(all)).toEqual({ ...CLEAN, duplicated: 2 });
  expect(seen(messages(1, 2, 3, 4, 40)).compare(all)).toEqual({ ...CLEAN, duplicated: 1 });
  expect(seen(messages(1, 3, 2, 40)).compare(all)).toEqual({ ...CLEAN, misordered: 1 });
  expect(seen([...messages(1, 2, 3), message(40, "other")]).compare(all)).toEqual({ ...CLEAN, lost: 1 });
  expect(seen([...messages(1, 2, 3), { ...message(40), id: "other" }]).compare(all)).toEqual({ ...CLEAN, lost: 1 });
  expect(
    seen([
      { ...message(1), seq: 2 },
      { ...message(2), seq: 1 },
    ]).compare(messages(1, 2)).lost,
  ).toBe(1);
});

test("the sending device need not get its own messages; a fresh one must", () => {
  const history = new Map([["#g", messages(1, 2, 3)]]);
  const live = new DeviceView("ann", ["#g"], false);
  const fresh = new DeviceView("ann", ["#g"], true);
  for (const one of messages(1, 3)) {
    const wire = { ...one, conversation: "#g", sentAt: 0 };
    expect(live.take(wire)).toBe(true);
    fresh.take(wire);
  }
  expect(live.take({ ...message(2), conversation: "#g", sentAt: 0 })).toBe(false);
  expect(live.compare(history)).toEqual(CLEAN);
  expect(live.deliveries).toBe(2);
  expect(fresh.compare(history)).toEqual({ ...CLEAN, lost: 1 });
});

test("messages of conversations that are not played are left out", () => {
  const view = new DeviceView("ann", ["#g"], false);
  expect(view.take({ ...message(1), conversation: "@stranger", sentAt: 0 })).toBe(false);
  expect(view.foreign).toBe(1);
  expect(view.compare(new Map())).toEqual(CLEAN);
});

test("an order is compared by what is missing, again, and too early", () => {
  expect(compareOrder(["a", "b", "c"], ["a", "b", "c"])).toEqual(CLEAN);
  expect(compareOrder(["a", "b", "c"], ["a", "c"])).toEqual({ ...CLEAN, lost: 1 });
  expect(compareOrder(["a", "b", "c"], ["b", "a", "c"])).toEqual({ ...CLEAN, misordered: 1 });
  expect(compareOrder(["a", "b"], ["a", "a", "x", "b"])).toEqual({ ...CLEAN, duplicated: 2 });
});

test("a conversation is held against the plan sender by sender, with its texts", () => {
  const plan = planImport([parseDay("2005-02-06", "[01:00] <ann> one\n[01:00] <bob> two\n[01:00] <ann> three\n")]);
  const ids = ["i1", "i2", "i3"];
  const found = (...places: number[]) =>
    places.map((place, at) => ({
      id: ids[place] as string,
      seq: at + 1,
      from: plan.lines[place]?.from as string,
      text: plan.lines[place]?.text as string,
    }));
  expect(compareWithPlan(plan, ids, [0, 1, 2], found(0, 1, 2))).toEqual(CLEAN);
  expect(compareWithPlan(plan, ids, [0, 1, 2], found(1, 0, 2))).toEqual(CLEAN);
  expect(compareWithPlan(plan, ids, [0, 1, 2], found(2, 1, 0))).toEqual({ ...CLEAN, misordered: 1 });
  expect(compareWithPlan(plan, ids, [0, 1, 2], found(0, 2))).toEqual({ ...CLEAN, lost: 1 });
  expect(compareWithPlan(plan, ids, [0, 1, 2], found(0, 1, 1, 2))).toEqual({ ...CLEAN, duplicated: 1 });
  expect(
    compareWithPlan(
      plan,
      ids,
      [0, 1, 2],
      found(0, 1, 2).map((one) => ({ ...one, text: "!" })),
    ),
  ).toEqual({ ...CLEAN, lost: 3 });
  expect(
    compareWithPlan(
      plan,
      ids,
      [0, 1, 2],
      found(0, 1, 2).map((one) => ({ ...one, seq: 1 })),
    ),
  ).toEqual({ ...CLEAN, misordered: 2 });
});

test("two readings of one conversation must agree in ids, order and text, and in a group in seqs", () => {
  expect(compareCopies(messages(1, 2, 3), messages(1, 2, 3), true)).toEqual(CLEAN);
  expect(compareCopies(messages(1, 2), [message(1), message(2, "other")], true)).toEqual({ ...CLEAN, lost: 1 });
  const shifted = messages(1, 2).map((one) => ({ ...one, seq: one.seq + 7 }));
  expect(compareCopies(messages(1, 2), shifted, false)).toEqual(CLEAN);
  expect(compareCopies(messages(1, 2), shifted, true)).toEqual({ ...CLEAN, misordered: 2 });
});

test("members are picked from all over the group", () => {
  expect(spread([1, 2, 3, 4, 5], 3)).toEqual([1, 3, 5]);
  expect(spread([1, 2], 3)).toEqual([1, 2]);
  expect(spread([1, 2, 3], 1)).toEqual([1]);
});

test("at real speed the lines of a minute are spread over it", () => {
  expect(dueTimes([{ minute: 0 }, { minute: 0 }, { minute: 2 }])).toEqual([0, 30_000, 120_000]);
});

test("patience ends when nothing moves, not while something does", async () => {
  let now = 0;
  const patience = new Patience(40, () => now);
  try {
    const slow = patience.guard(new Promise(() => {}));
    now = 39;
    patience.touch();
    now = 78;
    patience.look();
    expect(patience.signal.aborted).toBe(false);
    now = 80;
    patience.look();
    await expect(slow).rejects.toThrow("given up: nothing moved");
    expect(patience.signal.aborted).toBe(true);
  } finally {
    patience.end();
  }
});

test("a seed always draws the same moments, in order, within the import", () => {
  const moments = drawMoments(5, 7);
  expect(drawMoments(5, 7)).toEqual(moments);
  expect(drawMoments(5, 8)).not.toEqual(moments);
  expect(moments.toSorted((a, b) => a - b)).toEqual(moments);
  expect(placeOf("users", 0, 10)).toBe(0);
  expect(placeOf("check: devices", 10, 10)).toBe(1);
  expect(placeOf("messages", 0, 0)).toBe(placeOf("delivery", 0, 1));
});
