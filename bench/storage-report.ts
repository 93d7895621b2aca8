/** The storage suite's HTML report: one file, inline SVG, no scripts, nothing fetched. */
import { flushRounds, medianOf, describeCorpus, type StorageResult } from "./storage-result.ts";
import { describeBatch, figure, SIDE_NAMES, tablesOf, type Table } from "./storage-table.ts";
import type { AppendSide } from "./storage/append.ts";
import { escapeHtml, STYLE } from "./report.ts";

const WIDTH = 720;
const LABEL = 280;
const ROW = 22;
const COLORS = { ours: "#2f6fde", other: "#9aa4b2", aim: "#c2410c" };

type Bar = { label: string; value: number; isOurs: boolean };

export function storageReport(result: StorageResult): string {
  const { machine: m, texts } = result;
  const where = `${m.cores} × ${m.cpu}, ${m.memoryGb} GB, kernel ${m.kernel}, bun ${m.bun}; commit ${result.commit}, ${result.at}; ${texts.source} texts of ${texts.meanBytes} bytes`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Parley bench: storage</title><style>${STYLE}
.wide{overflow-x:auto}</style>
<h1>Parley's log store</h1>
<p>${escapeHtml(where)}.${result.isSmall ? " <b>Small: shows that it runs, the figures mean little.</b>" : ""}</p>
${charts(result)}
${tablesOf(result).map(htmlTable).join("\n")}
<p>What the figures mean: bench/README.md.</p>
</html>
`;
}

function charts(result: StorageResult): string {
  const appended = result.append.map((batch) => {
    const bars = (Object.keys(SIDE_NAMES) as AppendSide[])
      .filter((side) => !side.endsWith("nsynced"))
      .map((side) => ({
        label: SIDE_NAMES[side],
        value: medianOf(batch.rounds, (round) => round[side].recordsPerSecond),
        isOurs: side === "parley",
      }));
    return chart(`Records a second made durable, frames of ${describeBatch(batch)}`, bars);
  });
  const flushed = Object.entries(result.flush).map(([driver, runs]) => ({
    label: driver,
    value: medianOf(flushRounds(runs), (round) => round.cpuMicrosPerEntry),
    isOurs: driver === "better-sqlite3, zstd",
  }));
  const cold = result.pages.flatMap(({ segments, spread, together }) =>
    [["spread", spread] as const, ["in one", together] as const].map(([name, runs]) => ({
      label: `${segments} segments, ${name}`,
      value: medianOf(runs["better-sqlite3"], (run) => run.coldMs.p50),
      isOurs: true,
    })),
  );
  const stored = result.corpus.flatMap((run) => [
    { label: describeCorpus(run), value: run.ratioToRaw, isOurs: true },
    { label: "compacted", value: run.compacted.ratioToRaw, isOurs: true },
  ]);
  const packed = result.codecs.flatMap(({ blockBytes, codecs }) =>
    codecs.map(({ codec, ratio }) => ({
      label: `${blockBytes >> 10} KiB, ${codec}`,
      value: ratio,
      isOurs: codec !== "lz4",
    })),
  );
  return [
    ...appended,
    chart("Flush: CPU µs an entry", flushed),
    chart("Cold history page of 30, p50 in ms (aim: 1)", cold, 1),
    chart("Stored bytes over the raw bytes of the logs (aim: 0.9)", stored, 0.9),
    chart("Packed over raw, by block size and codec", packed),
  ].join("\n");
}

/** Bars with their figures; a line where the aim is. */
function chart(title: string, bars: Bar[], aim?: number): string {
  const largest = Math.max(...bars.map((bar) => bar.value).filter((value) => value > 0), aim ?? 0, Number.MIN_VALUE);
  const scale = (WIDTH - LABEL - 80) / largest;
  const rows = bars.map(({ label, value, isOurs }, at) => {
    const y = at * ROW;
    const length = Number.isNaN(value) ? 0 : value * scale;
    return (
      `<text x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${escapeHtml(label)}</text>` +
      `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 4}" fill="${isOurs ? COLORS.ours : COLORS.other}"/>` +
      `<text x="${(LABEL + 6 + length).toFixed(1)}" y="${y + 14}">${figure(value)}</text>`
    );
  });
  const height = bars.length * ROW;
  const x = aim === undefined ? 0 : LABEL + aim * scale;
  const line =
    aim === undefined
      ? ""
      : `<line x1="${x}" x2="${x}" y1="0" y2="${height}" stroke="${COLORS.aim}" stroke-dasharray="4 3"/>`;
  return `<h2>${escapeHtml(title)}</h2><svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">${rows.join("")}${line}</svg>`;
}

function htmlTable({ title, columns, rows }: Table): string {
  const cells = (row: string[], tag: string): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<h2>${escapeHtml(title)}</h2><div class="wide"><table>${cells(columns, "th")}${rows.map((row) => cells(row, "td")).join("")}</table></div>`;
}
