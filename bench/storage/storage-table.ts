/** The storage suite's result as tables. */
import type { Table } from "../bench.ts";
import { formatFigure as figure } from "../measure/ranges.ts";
import {
  appendRatio,
  describeCorpus,
  flushRounds,
  medianOf,
  FLUSH_VARIANTS,
  type PerDriver,
  type StorageResult,
} from "./storage-result.ts";
import type { AppendBatch, AppendSide } from "./append.ts";
import type { Compaction, FlushRound } from "./flush.ts";
import type { PageFigures } from "./pages-read.ts";
import type { RecoverFigures } from "./recovery-open.ts";
import type { Driver } from "./run-part.ts";

export const SIDE_NAMES: Record<AppendSide, string> = {
  parley: "parley",
  fdatasync: "write + fdatasync, growing file",
  dsync: "O_DSYNC, growing file",
  preparedFdatasync: "write + fdatasync, prepared file",
  preparedDsync: "O_DSYNC, prepared file",
  parleyUnsynced: "parley, no sync",
  unsynced: "write, no sync",
};

const TABLES_SHOWN = 7;

const kib = (bytes: number): string => `${Math.round(bytes / 1024)} KiB`;
const mib = (bytes: number): string => `${figure(bytes / 2 ** 20)} MiB`;
export const describeBatch = ({ batchBytes }: AppendBatch): string =>
  batchBytes === 0 ? "one message" : kib(batchBytes);

export function tablesOf(result: StorageResult): Table[] {
  return [
    ...result.append.map(append),
    flush(result),
    compaction(result),
    pages(result),
    resume(result),
    recovery(result),
    corpus(result),
    corpusTables(result),
    codecs(result),
    rows(result),
  ];
}

function append(batch: AppendBatch): Table {
  const rows = (Object.keys(SIDE_NAMES) as AppendSide[]).map((side) => {
    const of = (
      key: "recordsPerSecond" | "mbPerSecond" | "framesPerSecond" | "cpuMicrosPerRecord" | "writeAmplification",
    ) => figure(medianOf(batch.rounds, (round) => round[side][key]));
    const ratio = side === "parley" ? "" : figure(appendRatio(batch, side));
    return [
      SIDE_NAMES[side],
      of("recordsPerSecond"),
      of("mbPerSecond"),
      of("framesPerSecond"),
      of("cpuMicrosPerRecord"),
      of("writeAmplification"),
      ratio,
    ];
  });
  const title = `Append, frames of ${describeBatch(batch)} (${batch.frameBytes} bytes, ${batch.messages * 2} records)`;
  return {
    title,
    columns: ["", "records/s", "MB/s", "frames/s", "CPU µs/record", "written/byte", "parley's time over it"],
    rows,
  };
}

const DRIVERS: readonly Driver[] = ["better-sqlite3", "bun:sqlite"];

function flush({ flush: runs }: StorageResult): Table {
  const rows = FLUSH_VARIANTS.map((variant) => {
    const rounds = flushRounds(runs[variant]);
    const of = (key: keyof FlushRound) => figure(medianOf(rounds, (round) => round[key]));
    const worst = (key: "longestGapMs" | "idleGapMs") => figure(Math.max(...rounds.map((round) => round[key])));
    const gap = `${worst("longestGapMs")} (${worst("idleGapMs")} idle)`;
    const speed = [of("entriesPerSecond"), of("mbPerSecond"), of("cpuMicrosPerEntry")];
    const bytes = figure(medianOf(runs[variant], (run) => run.bytesPerMessage));
    const text = figure(medianOf(runs[variant], (run) => (run.textBytes / run.entries) * 2));
    return [variant, ...speed, gap, of("logAmplification"), of("flushAmplification"), bytes, text];
  });
  const columns = ["entries/s", "MB/s", "CPU µs/entry", "longest gap, ms", "log written/byte", "flush written/byte"];
  return { title: "Flush", columns: ["", ...columns, "stored bytes/message", "of text"], rows };
}

function compaction({ flush: runs }: StorageResult): Table {
  const rows = FLUSH_VARIANTS.map((variant) => {
    const of = (pick: (run: Compaction) => number): string =>
      figure(medianOf(runs[variant], (run) => pick(run.compaction)));
    const gap = figure(Math.max(...runs[variant].map((run) => run.compaction.longestGapMs)));
    return [
      variant,
      of((run) => run.seconds),
      of((run) => run.cpuMicrosPerEntry),
      gap,
      of((run) => run.bytesPerMessage),
    ];
  });
  const columns = ["", "seconds", "CPU µs/entry", "longest gap, ms", "stored bytes/message"];
  return { title: "Compaction of those files", columns, rows };
}

function pages({ pages: all }: StorageResult): Table {
  const rows = all.flatMap(({ segments, spread, together }) =>
    [["spread over all", spread] as const, ["in one", together] as const].flatMap(([where, runs]) =>
      DRIVERS.map((driver) => [`${segments} segments, ${where}, ${driver}`, ...pageCells(runs, driver)]),
    ),
  );
  const columns = [
    "",
    "first in a process, ms",
    "cold p50",
    "cold p99",
    "warm p50",
    "warm p99",
    "segments opened",
    "other files",
  ];
  return { title: "History page of 30; the system's page cache is warm", columns, rows };
}

function pageCells(runs: PerDriver<PageFigures>, driver: Driver): string[] {
  const of = (pick: (run: PageFigures) => number | undefined): string => figure(medianOf(runs[driver], pick));
  return [
    of((run) => run.firstMs),
    of((run) => run.coldMs.p50),
    of((run) => run.coldMs.p99),
    of((run) => run.warmMs.p50),
    of((run) => run.warmMs.p99),
    of((run) => run.opened?.segments),
    of((run) => run.opened?.others),
  ];
}

function resume({ pages: all, parameters }: StorageResult): Table {
  const rows = all.map(({ segments, spread, together }) => {
    const runs = [...spread["better-sqlite3"], ...together["better-sqlite3"]];
    const of = (pick: (run: PageFigures) => number): string => figure(medianOf(runs, pick));
    const { resume: r } = runs[0]!;
    return [
      `${segments} segments, ${r.entries} entries`,
      of((run) => run.resume.coldMs.p50),
      of((run) => run.resume.coldMs.p99),
      of((run) => run.resume.warmMs.p50),
      of((run) => run.resume.warmMs.p99),
    ];
  });
  const { lanes, resumePage } = parameters.pages;
  const title = `Resume of a user of ${lanes} conversations in pages of ${resumePage}, ms a page`;
  return { title, columns: ["", "first time p50", "p99", "again p50", "p99"], rows };
}

function recovery({ recovery: { nothingFlushed, mostFlushed } }: StorageResult): Table {
  const row = (name: string, runs: RecoverFigures[]): string[] => {
    const of = (pick: (run: RecoverFigures) => number | undefined): number => medianOf(runs, pick);
    return [
      name,
      figure(of((run) => run.seconds)),
      figure(of((run) => run.mbPerSecond)),
      mib(of((run) => run.logBytes)),
      figure(of((run) => run.records)),
      figure(of((run) => run.cpuSeconds)),
      mib(of((run) => run.peakResidentBytes)),
    ];
  };
  const columns = ["", "seconds", "MB/s", "log", "records applied", "CPU s", "peak RSS"];
  return {
    title: "Recovery; the log is in the page cache",
    columns,
    rows: [row("nothing was flushed", nothingFlushed), row("all but the last part was", mostFlushed)],
  };
}

function corpus({ corpus: all }: StorageResult): Table {
  const rows = all.map((run) => [
    describeCorpus(run),
    mib(run.rawBytes),
    mib(run.textBytes),
    mib(run.stored.bytes),
    `${run.stored.files}`,
    figure(run.ratioToRaw),
    figure(run.ratioToTexts),
    mib(run.compacted.stored.bytes),
    figure(run.compacted.ratioToRaw),
    figure(run.bytesPerMessage),
    mib(run.log.bytes),
  ]);
  const columns = [
    "",
    "raw logs",
    "texts alone",
    "stored",
    "files",
    "stored/raw",
    "stored/texts",
    "compacted",
    "compacted/raw",
    "bytes/message",
    "log left",
  ];
  return {
    title: "Corpus on disk: segments, state and indexes, every direct message in both timelines",
    columns,
    rows,
  };
}

/** The largest tables of the first run, and the sum of the others. */
function corpusTables({ corpus: all }: StorageResult): Table {
  const names = Object.keys(all[0]?.tables ?? {}).slice(0, TABLES_SHOWN);
  const rows = all.map((run) => {
    const shown = names.map((name) => run.tables[name] ?? 0);
    const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
    const rest = sum(Object.values(run.tables)) - sum(shown);
    return [describeCorpus(run), ...[...shown, rest].map((bytes) => figure(bytes / 2 ** 20))];
  });
  return { title: "Corpus on disk by table, MiB", columns: ["", ...names, "others"], rows };
}

function codecs({ codecs: all }: StorageResult): Table {
  const rows = all.flatMap(({ blockBytes, codecs: figures }) =>
    figures.map(({ codec, ratio, packMbPerSecond, unpackMbPerSecond }) => [
      `${kib(blockBytes)}, ${codec}`,
      ratio.toFixed(3),
      `${packMbPerSecond}`,
      `${unpackMbPerSecond}`,
    ]),
  );
  return { title: "Codecs on blocks of chat", columns: ["", "packed/raw", "pack MB/s", "unpack MB/s"], rows };
}

function rows({ rows: runs }: StorageResult): Table {
  const cells = DRIVERS.map((driver) => [
    driver,
    ...(["insertRow", "getRow", "insertBlock", "getBlock"] as const).map((key) =>
      figure(medianOf(runs[driver], (run) => run[key])),
    ),
  ]);
  return {
    title: "SQLite drivers by themselves, µs",
    columns: ["", "insert row", "get row", "insert block", "get block"],
    rows: cells,
  };
}
