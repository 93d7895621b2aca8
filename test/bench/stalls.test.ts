/**
 * Nothing that a client asks for stops the event loop for more than 10 ms, on data that nobody has touched since the start. A machine on which others work stops every loop now and
 * then: an idle one beside the server's tells how long, and of each case the best round counts.
 */
import { expect, test } from "bun:test";
import { type Round, runStalls, STALLS_FULL } from "../../bench/stalls.ts";

const GAP_MS_MAX = 10;
/** The longest gap of an idle loop on a quiet machine, about. */
const IDLE_MS = 3;

const SIZES = { groups: 200, members: 500, peers: 250, hellos: 100, conversations: 5000 };

const isStall = ({ server, idle }: Round): boolean => {
  const slowness = Math.max(1, idle.wallMs / IDLE_MS);
  return server.wallMs > GAP_MS_MAX * slowness || server.cpuMs > GAP_MS_MAX * Math.min(slowness, 2);
};

test("whoever comes back stops the event loop for less than 10 ms, however many groups there are, and however many come at once", async () => {
  const names = /^(hello|catch-up|long poll) of a user in many groups|^many users/;
  const cases = STALLS_FULL.cases.filter(({ name }) => names.test(name));
  expect(cases).toHaveLength(4);
  const options = { rounds: 3, sizes: SIZES, places: ["recent" as const], cases };
  const result = await runStalls(options, { isTerminal: false, columns: 80, write: () => {} }, new Promise(() => {}));
  expect(result.cases.filter(({ rounds }) => rounds.every(isStall))).toEqual([]);
}, 60_000);
