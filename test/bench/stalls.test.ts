/**
 * Nothing that a client asks for stops the event loop for more than 10 ms, on data that nobody has touched since the start. A machine on which others work stops every loop now and
 * then: an idle one beside the server's tells how long, and of each case the best round counts.
 */
import { beforeAll, expect, test } from "bun:test";
import { ProgressBar } from "../../src/cli/progress-bar.ts";
import { CASES as ALL_CASES } from "../../bench/stalls/cases.ts";
import { measureStalls, type Round } from "../../bench/stalls/stalls.ts";

const GAP_MS_MAX = 10;
/** The longest gap of an idle loop on a quiet machine, about. */
const IDLE_MS = 3;

const SIZES = { groups: 200, members: 500, peers: 250, hellos: 100, conversations: 5000 };

const isStall = ({ server, idle }: Round): boolean => {
  const slowness = Math.max(1, idle.wallMs / IDLE_MS);
  return server.wallMs > GAP_MS_MAX * slowness || server.cpuMs > GAP_MS_MAX * Math.min(slowness, 2);
};

const CASES = ALL_CASES.filter(({ name }) => !/erased$|very many|many conversations$|who are there$/.test(name));

const results = new Map<string, Round[]>();

beforeAll(async () => {
  const options = { rounds: 7, sizes: SIZES, places: ["recent" as const], cases: CASES };
  const silent = { isTerminal: false, columns: 80, write: () => {} };
  const cases = await measureStalls(options, new ProgressBar("stalls", 1, silent), new Promise(() => {}));
  for (const { name, rounds } of cases) results.set(name, rounds);
}, 60_000);

test.each(CASES.map(({ name }) => [name]))("the event loop goes on within 10 ms: %s", (name) => {
  const rounds = results.get(name)!;
  expect(rounds).toHaveLength(7);
  expect(rounds.every(isStall) ? rounds : []).toEqual([]);
});
