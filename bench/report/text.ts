/** The result of a bench as text for people. */
import { isMet, type Aim, type Table } from "../bench.ts";
import type { BenchResult } from "../run-bench.ts";
import { formatFigure } from "../measure/ranges.ts";
import { wrapped } from "../../src/cli/help-text.ts";

const COLUMNS = 110;

export function formatResult(result: BenchResult): string {
  const { name, commit, besideCommit, size, finding, durable, notes, tables, seconds } = result;
  const tiny = size === "tiny" ? ["tiny: shows that it runs, the figures mean little"] : [];
  const beside = besideCommit === undefined ? "" : `, beside ${besideCommit}`;
  return [
    `${name} at ${commit}${beside}: ${describeMachine(result)}`,
    ...[...tiny, finding, `Parameters: ${describeParameters(result)}.`, `Durable: ${durable}`].flatMap(paragraph),
    ...tables.map(formatTable),
    ...aimTable(result.aims).map(formatTable),
    "",
    ...notes.flatMap(paragraph),
    `in ${seconds.toFixed(0)} s`,
  ].join("\n");
}

const paragraph = (text: string): string[] => wrapped(text, COLUMNS);

export const describeMachine = ({ machine: m }: Pick<BenchResult, "machine">): string =>
  `${m.cores} × ${m.cpu}, ${m.memoryGb} GB, kernel ${m.kernel}, bun ${m.bun}`;

export function describeParameters({ parameters, serveArguments }: BenchResult): string {
  const named = Object.entries(parameters).map(([name, value]) => `${words(name)} ${shown(value)}`);
  return [...named, ...(serveArguments.length > 0 ? [`served with ${serveArguments.join(" ")}`] : [])].join(", ");
}

/** `warmUpMs` is shown as `warm up ms`. */
const words = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join("/");
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

export function formatTable({ title, columns, rows }: Table): string {
  const widths = columns.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: string[]): string =>
    `  ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join("  ")}`.trimEnd();
  return ["", title, line(columns), ...rows.map(line)].join("\n");
}

/** No table without aims. */
export function aimTable(aims: readonly Aim[]): Table[] {
  if (aims.length === 0) return [];
  const rows = aims.map((aim) => [
    aim.what,
    `${formatFigure(aim.measured)} ${aim.unit}`.trim(),
    aim.atMost === undefined ? `at least ${aim.atLeast}` : `at most ${aim.atMost}`,
    metText(aim),
  ]);
  return [{ title: "Aims", columns: ["", "measured", "aim", "met"], rows }];
}

export function metText(aim: Aim): string {
  const met = isMet(aim);
  return met === undefined ? "not measured" : met ? "yes" : "no";
}
