import { expect, test } from "bun:test";
import { appendRatio, flushRounds, medianOf } from "../../bench/storage/storage-result.ts";
import { formatFigure } from "../../bench/measure/ranges.ts";
import type { AppendBatch, AppendFigures } from "../../bench/storage/append.ts";
import type { FlushFigures, FlushRound } from "../../bench/storage/flush.ts";
import { seededRandom, spreadOf } from "../../bench/storage/measure.ts";

test("an append ratio is Parley's time over the other's, of the same round, and its median", () => {
  const side = (recordsPerSecond: number) => ({ recordsPerSecond }) as AppendFigures;
  const round = (parley: number, fdatasync: number) => ({ parley: side(parley), fdatasync: side(fdatasync) });
  const rounds = [round(100, 120), round(10, 13), round(1000, 5000)] as unknown as AppendBatch["rounds"];
  expect(appendRatio({ batchBytes: 0, messages: 1, frameBytes: 1, rounds }, "fdatasync")).toBe(1.3);
});

test("the first flush of several, which makes the files, does not count", () => {
  const run = (...seconds: number[]) =>
    ({ rounds: seconds.map((s) => ({ seconds: s }) as FlushRound) }) as FlushFigures;
  expect(flushRounds([run(9, 1, 2), run(8, 3)]).map((round) => round.seconds)).toEqual([1, 2, 3]);
  expect(flushRounds([run(9)]).map((round) => round.seconds)).toEqual([9]);
});

test("a figure that no round has is shown as missing, not as zero", () => {
  expect(formatFigure(medianOf([{}, {}] as { bytes?: number }[], (round) => round.bytes))).toBe("-");
  expect(formatFigure(medianOf([{ bytes: 2 }, {}] as { bytes?: number }[], (round) => round.bytes))).toBe("2.00");
});

test("percentiles are samples, and the same seed draws the same numbers", () => {
  expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ p50: 3, p99: 4, max: 5, count: 5 });
  const [one, other] = [seededRandom(7), seededRandom(7)];
  expect([one(), one(), one()]).toEqual([other(), other(), other()]);
});
