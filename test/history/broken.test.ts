/** Each guarantee, broken on purpose in the history of a real server, is found broken. */
import { beforeAll, describe, expect, test } from "bun:test";
import { GUARANTEES } from "../../scripts/history/checker/violations.ts";
import type { HistoryLine } from "../../scripts/history/format.ts";
import { startTestNode } from "../support/test-node.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { Edited } from "./edited.ts";
import { check, textSink } from "./histories.ts";
import { MUTATIONS } from "./mutations/all.ts";
import { Talk } from "./talk.ts";

const STEPS = 500;
const TIMES = Number(process.env["RUNS"] ?? 2);

let header = "";
let good: HistoryLine[] = [];

beforeAll(async () => {
  const node = await startTestNode();
  const sink = textSink();
  const talk = new Talk(node, randomFrom(SEED), sink, { seed: SEED });
  try {
    await talk.begin();
    for (let step = 0; step < STEPS; step++) await talk.step();
    await talk.end();
  } finally {
    await talk.close();
    await node.stop();
  }
  const [first = "", ...rest] = sink.text().trimEnd().split("\n");
  header = first;
  good = rest.map((line) => JSON.parse(line) as HistoryLine);
});

test("as it was recorded, nothing is found", async () => {
  expect((await check(textOf(good))).violations).toEqual([]);
});

test("each guarantee is broken in more than one way", () => {
  for (const name of GUARANTEES)
    expect(MUTATIONS.filter(({ guarantee }) => guarantee === name).length).toBeGreaterThan(1);
});

describe.each(MUTATIONS)("$guarantee: $name", ({ guarantee, mutate }) => {
  test.each(Array.from({ length: TIMES }, (_, time) => time))("is found, place %d", async (time) => {
    const history = new Edited(good, randomFrom(SEED + time));
    mutate(history);
    const { counts, violations } = await check(textOf(history.lines));
    expect(counts[guarantee], JSON.stringify(violations.slice(0, 5))).toBeGreaterThan(0);
  });
});

const textOf = (lines: readonly HistoryLine[]): string =>
  [header, ...lines.map((line) => JSON.stringify(line)), ""].join("\n");
