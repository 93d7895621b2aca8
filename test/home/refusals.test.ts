/** States in which writes are refused: what the log says of each, by a clock that the test moves. */
import { beforeEach, expect, test } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { REFUSALS, Refusals, type RefusalState } from "../../src/home/refusals.ts";
import { HandClock } from "./hand-clock.ts";

let clock: HandClock;
let lines: Record<string, unknown>[];
let state: RefusalState | undefined;
let cause: unknown;
let refusals: Refusals;

beforeEach(() => {
  clock = new HandClock();
  lines = [];
  state = undefined;
  cause = undefined;
  const logger = createLogger("info", (line) => void lines.push(JSON.parse(line)), clock.now.bind(clock));
  refusals = new Refusals({ clock, logger });
});

const watch = (): void => refusals.watch({ state: () => state, cause: () => cause });

function seconds(count: number): void {
  for (let n = 0; n < count; n++) clock.advance(1000);
}

function told(): string[] {
  return lines.splice(0).map(({ message, state: name }) => `${String(name)}: ${String(message)}`);
}

test("a state that nobody's write meets is told within a second, once a minute while it lasts, and when it is over, with how long it took", () => {
  watch();
  seconds(5);
  expect(told()).toEqual([]);
  state = "disk full";
  cause = Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC" });
  seconds(1);
  expect(lines).toMatchObject([{ level: "error", message: "writes are refused", why: "the disk is full" }]);
  expect(String(lines[0]!["error"])).toContain("ENOSPC: no space");
  expect(told()).toEqual(["disk full: writes are refused"]);
  seconds(59);
  expect(told()).toEqual([]);
  seconds(121);
  expect(lines.map(({ forMs, refused }) => [forMs, refused])).toEqual([
    [60_000, 0],
    [120_000, 0],
    [180_000, 0],
  ]);
  expect(told()).toEqual(Array(3).fill("disk full: writes are still refused"));
  state = undefined;
  seconds(3);
  expect(lines).toMatchObject([{ level: "info", message: "writes are taken again", state: "disk full" }]);
  expect(lines[0]!["forMs"]).toBe(180_000);
  seconds(100);
  expect(lines).toHaveLength(1);
});

test("a write that is refused is answered with the words of the state, a time to retry, and is counted", () => {
  watch();
  state = "no descriptors";
  for (let n = 0; n < 7; n++) {
    const error = refusals.error("no descriptors");
    expect([error.code, error.status, error.retryAfterMs]).toEqual(["unavailable", 503, 2000]);
    expect(error.message).toBe("the server may open no more files; try again in 2000 ms");
  }
  expect(told()).toEqual(["no descriptors: writes are refused"]);
  seconds(30);
  state = undefined;
  seconds(5);
  expect(lines.map(({ refused }) => refused)).toEqual([7]);
});

test("a state that comes and goes within moments is one episode in the log", () => {
  watch();
  for (let second = 0; second < 110; second++) {
    state = second % 2 === 0 ? "log behind" : undefined;
    seconds(1);
    if (second % 2 === 0) refusals.error("log behind");
  }
  expect(told()).toEqual(["log behind: writes are refused", "log behind: writes are still refused"]);
  state = undefined;
  seconds(4);
  expect(told()).toEqual(["log behind: writes are taken again"]);
});

test("what was reported stands until its end is reported, however often either is said", () => {
  watch();
  refusals.begin("directory lost", new Error("/data is another directory now"));
  refusals.begin("directory lost");
  expect(refusals.standing).toBe("directory lost");
  expect(refusals.notReadyReason()).toBe("the data directory was moved, removed or replaced");
  seconds(125);
  expect(lines.every(({ error }) => String(error).includes("/data is another directory now"))).toBe(true);
  expect(told()).toEqual([
    "directory lost: writes are refused",
    "directory lost: writes are still refused",
    "directory lost: writes are still refused",
  ]);
  refusals.end("directory lost");
  refusals.end("directory lost");
  expect([refusals.standing, refusals.notReadyReason()]).toEqual([undefined, undefined]);
  expect(lines.map(({ forMs }) => forMs)).toEqual([125_000]);
  expect(told()).toEqual(["directory lost: writes are taken again"]);
});

test("where several states hold, the answer names the most serious, and the log has the end of each", () => {
  watch();
  state = "disk full";
  seconds(1);
  refusals.begin("directory lost");
  expect(refusals.notReadyReason()).toBe(REFUSALS["directory lost"].words);
  refusals.begin("draining");
  expect(refusals.notReadyReason()).toBe(REFUSALS.draining.words);
  refusals.end("draining");
  refusals.end("directory lost");
  expect(refusals.notReadyReason()).toBe(REFUSALS["disk full"].words);
  state = undefined;
  seconds(3);
  expect(told()).toEqual([
    "disk full: writes are refused",
    "directory lost: writes are refused",
    "draining: writes are refused",
    "draining: writes are refused for another reason now",
    "directory lost: writes are refused for another reason now",
    "disk full: writes are taken again",
  ]);
});

test("nobody looks any more once it was stopped", () => {
  watch();
  refusals.stop();
  state = "disk full";
  seconds(100);
  expect(told()).toEqual([]);
});
