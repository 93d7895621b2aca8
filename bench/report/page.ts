/**
 * The HTML page: one file with the figures, the style, uPlot and the script that draws the charts. It fetches nothing.
 * Without scripts its tables still say everything.
 */
import { join } from "node:path";
import { isMet, type Aim, type Chart, type Table } from "../bench.ts";
import type { BenchResult } from "../run-bench.ts";
import { aimTable, describeMachine, describeParameters } from "./text.ts";

const UPLOT = join(import.meta.dir, "../../node_modules/uplot/dist");

type Failure = { name: string; reason: string };

export async function htmlPage(results: readonly BenchResult[], failed: readonly Failure[] = []): Promise<string> {
  const charts: Chart[] = [];
  const sections = results.map((result) => section(result, charts)).join("\n");
  const [style, plotStyle, plotScript] = await Promise.all(
    [join(import.meta.dir, "page.css"), join(UPLOT, "uPlot.min.css"), join(UPLOT, "uPlot.iife.min.js")].map(textOf),
  );
  const source = await textOf(join(import.meta.dir, "page-script.ts"));
  const script = new Bun.Transpiler({ loader: "ts", target: "browser" }).transformSync(source);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley bench</title><style>${plotStyle}
${style}</style></head><body>
${opening(results, failed)}
${sections}
<script type="application/json" id="charts">${inScript(JSON.stringify(charts))}</script>
<script>${inScript(plotScript!)}</script>
<script>{${inScript(script)}}</script>
</body></html>
`;
}

const textOf = (path: string): Promise<string> => Bun.file(path).text();

/** `</script` in a string would end the element. */
const inScript = (text: string): string => text.replaceAll(/<\/(?=script)/gi, "<\\/");

function opening(results: readonly BenchResult[], failed: readonly Failure[]): string {
  const [first] = results;
  if (first === undefined) return `<h1>Parley bench</h1>${failed.map(failure).join("")}`;
  const aims = results.flatMap(({ name, aims: all }) => all.map((aim) => ({ ...aim, what: `${name}: ${aim.what}` })));
  const commits = [...new Set(results.map(({ commit }) => commit))].join(", ");
  const beside = first.besideCommit === undefined ? "" : `, beside commit ${first.besideCommit}`;
  return `<h1>Parley bench${results.length === 1 ? `: ${escapeHtml(first.name)}` : ""}</h1>
<p class="lead">${escapeHtml(first.finding)}${aimCount(aims)}</p>
${failed.map(failure).join("")}
<p>Commit <b>${escapeHtml(commits)}</b>${escapeHtml(beside)}, ${escapeHtml(describeMachine(first))}; begun ${escapeHtml(first.at)}, ${minutes(results)} minutes, size <b>${first.size}</b>${sizeMeaning(first)}.</p>
<p class="quiet">How to read it: every comparison is of one run, round by round in turns, on the same machine. A dot or bar is the median of the
rounds; the line across it goes from the least to the greatest. Where ranges overlap widely, the machine was busy or the rounds differ (a flush falls into some of
them). Compare ratios, not rates: the load runs on the same cores. Server CPU counts all threads, user and system.</p>
${results.length === 1 ? "" : `<nav>${results.map(({ name }) => `<a href="#${name}">${name}</a>`).join("")}</nav>`}
${results.length === 1 ? "" : aimsHtml(aims)}`;
}

const failure = ({ name, reason }: Failure): string =>
  `<p class="failed">${escapeHtml(name)} failed, so it is missing here: ${escapeHtml(reason)}</p>`;

function aimCount(aims: readonly Aim[]): string {
  const measured = aims.filter((aim) => isMet(aim) !== undefined);
  if (measured.length === 0) return "";
  return ` ${measured.filter((aim) => isMet(aim) === true).length} of ${measured.length} aims are met.`;
}

const minutes = (results: readonly BenchResult[]): string =>
  (results.reduce((sum, { seconds }) => sum + seconds, 0) / 60).toFixed(1);

function sizeMeaning({ size }: BenchResult): string {
  if (size === "tiny") return ", which only shows that it runs: the figures mean nothing";
  return size === "small" ? " (few and short rounds; --full has more)" : "";
}

function section(result: BenchResult, charts: Chart[]): string {
  const { name, finding, durable, notes, tables, aims, seconds } = result;
  const drawn = result.charts.map((chart) => figure(chart, charts.push(chart) - 1)).join("\n");
  return `<section><h2 id="${name}">${name}</h2>
<p>${escapeHtml(finding)}</p>
${drawn}
${aimsHtml(aims)}
<details><summary>Figures</summary>${tables.map(tableHtml).join("\n")}</details>
<p class="quiet"><b>Durable:</b> ${escapeHtml(durable)}</p>
${notes.map((note) => `<p class="quiet">${escapeHtml(note)}</p>`).join("\n")}
<p class="quiet"><b>Parameters:</b> ${escapeHtml(describeParameters(result))}; took ${seconds.toFixed(0)} s. <code>npm run bench -- ${name}</code></p></section>`;
}

function figure({ title, how }: Chart, at: number): string {
  return `<figure><h3>${escapeHtml(title)}</h3><figcaption>${escapeHtml(how)}</figcaption><div data-chart="${at}"></div></figure>`;
}

function aimsHtml(aims: readonly Aim[]): string {
  return aimTable(aims)
    .map((table) => tableHtml(table).replaceAll(/<td>(yes|no)<\/td>/g, '<td class="$1">$1</td>'))
    .join("");
}

function tableHtml({ title, columns, rows }: Table): string {
  const cells = (row: string[], tag: string): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((row) => cells(row, "td")).join("");
  return `<h3>${escapeHtml(title)}</h3><div class="wide"><table class="figures">${cells(columns, "th")}${body}</table></div>`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
