/** The storage suite's figures for people: what came out, tables, charts, aims. */
import type { Chart, Outcome } from "../bench.ts";
import { formatFigure, rangeOf, type Range } from "../measure/ranges.ts";
import { aimsOf, appendRatio, describeCorpus, flushRounds, medianOf, type StorageResult } from "./storage-result.ts";
import { describeBatch, SIDE_NAMES, tablesOf } from "./storage-table.ts";
import type { AppendSide } from "./append.ts";

export function storageOutcome(result: StorageResult): Outcome {
  const { texts } = result;
  const batch = result.append.at(-1)!;
  const cold = medianOf(result.pages.at(-1)!.spread["better-sqlite3"], (run) => run.coldMs.p50);
  return {
    finding:
      `A record in a frame of ${describeBatch(batch)} takes ${formatFigure(appendRatio(batch, "fdatasync"))} times as ` +
      `long as a bare write and fdatasync of its bytes; a page of 30 from files that are not open takes ` +
      `${formatFigure(cold)} ms.`,
    durable: "All sides write to the file system under --dir. Those without sync are upper limits and keep nothing.",
    notes: [`${texts.source} texts of ${texts.meanBytes} bytes.`],
    aims: aimsOf(result),
    tables: tablesOf(result),
    charts: [...result.append.map(appendChart(result)), flushChart(result), pageChart(result), sizeChart(result)],
    figures: result,
  };
}

type Bar = { name: string; value: Range };

function bars(title: string, how: string, y: string, all: Bar[], aim?: Chart["aim"]): Chart {
  return {
    title,
    how,
    x: { label: "", names: all.map(({ name }) => name) },
    y: { label: y },
    series: [{ name: "parley", points: all.map(({ value }, x) => ({ x, y: value })) }],
    ...(aim !== undefined && { aim }),
  };
}

const appendChart = (_: StorageResult) => (batch: StorageResult["append"][number]) =>
  bars(
    `Records a second made durable, frames of ${describeBatch(batch)}`,
    "Higher is better. The bare sides write the same bytes and nothing else.",
    "records a second",
    (Object.keys(SIDE_NAMES) as AppendSide[])
      .filter((side) => !side.endsWith("nsynced"))
      .map((side) => ({
        name: SIDE_NAMES[side],
        value: rangeOf(batch.rounds.map((round) => round[side].recordsPerSecond)),
      })),
  );

function flushChart({ flush }: StorageResult): Chart {
  const all = Object.entries(flush).map(([name, runs]) => ({
    name,
    value: rangeOf(flushRounds(runs).map((round) => round.cpuMicrosPerEntry)),
  }));
  return bars("Flush: CPU an entry", "From memory into files, all threads. Lower is better.", "µs", all);
}

function pageChart({ pages }: StorageResult): Chart {
  const all = pages.flatMap(({ segments, spread, together }) =>
    [["spread", spread] as const, ["in one", together] as const].map(([where, runs]) => ({
      name: `${segments} segments, ${where}`,
      value: rangeOf(runs["better-sqlite3"].map((run) => run.coldMs.p50)),
    })),
  );
  const how = "Nothing of the shard is open or unpacked. Lower is better.";
  return bars("A cold history page of 30, p50", how, "ms", all, { at: 0.5, label: "aim" });
}

function sizeChart({ corpus }: StorageResult): Chart {
  const all = corpus.flatMap((run) => [
    { name: describeCorpus(run), value: rangeOf([run.ratioToRaw]) },
    { name: "the same, compacted", value: rangeOf([run.compacted.ratioToRaw]) },
  ]);
  const how = "Every direct message is in both timelines. Lower is better.";
  return bars("Stored bytes over the raw bytes of the logs", how, "times", all, { at: 0.9, label: "aim" });
}
