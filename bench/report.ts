/** The HTML report: one file, inline SVG, no scripts, nothing fetched. */
import type { E2eResult, SidePair } from "./e2e-result.ts";
import type { LoadFigures } from "./load.ts";
import { formatRange } from "./ranges.ts";

const WIDTH = 720;
const BAR = 22;
const LABEL = 150;
const COLORS = { floor: "#9aa4b2", parley: "#2f6fde" };
export const STYLE = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:760px;color:#1c2430;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.8rem 0 .3rem}table{border-collapse:collapse;width:100%}
td,th{padding:.25rem .6rem;border-bottom:1px solid #e3e7ee;text-align:right}td:first-child,th:first-child{text-align:left}
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}code{font-size:.9em}`;

const FLOOR =
  "The floor is a bare WebSocket server that stores nothing and does the same five frames, its frames gathered per " +
  "socket and turn as Parley's are.";

export function htmlReport(result: E2eResult): string {
  const { parameters: p, machine: m, ranges, flushes } = result;
  const how =
    `${p.sockets} sockets, ${p.windowPerUser} undelivered messages each, ${p.texts} texts of ${p.textMeanBytes} ` +
    `bytes, ${p.rounds} rounds of ${p.measureMs / 1000} s on each side in turn`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Parley bench: e2e</title><style>${STYLE}</style>
<h1>Parley beside ${result.besideCommit === undefined ? "the floor" : `its commit ${result.besideCommit}`}</h1>
<p>${result.besideCommit === undefined ? FLOOR : `What is called the floor here is the server of commit ${result.besideCommit}.`} Parley's
throughput is <b>${formatRange(ranges.throughputRatio, 2)}</b> of the floor's, its server CPU a message <b>${formatRange(ranges.cpuRatio, 2)}</b> times the
floor's: medians of ${p.rounds} rounds, with the least and the greatest.</p>
<p>Parley's most expensive round cost ${result.worstOverBest.toFixed(2)} times the CPU of its cheapest. It flushed memory to its files in ${flushes.rounds} of the rounds.
Right after a restart it delivered ${formatRange(ranges.restartedRatio, 2)} of the rate right before it.</p>
<p>${escapeHtml(`${m.cores} × ${m.cpu}, ${m.memoryGb} GB, kernel ${m.kernel}, bun ${m.bun}; commit ${result.commit}, ${result.at}; ${how}.`)}</p>
<h2>Delivered messages a second, each round</h2>${barChart(roundsOf(result, "deliveredPerSecond"), 0)}
<h2>Server CPU a message, µs, each round</h2>${barChart(roundsOf(result, "serverCpuMicros"), 1)}
<h2>Delivered messages a second, before and after each restart of Parley</h2>${barChart(restartsOf(result), 0, ["before", "after"])}
<h2>Send to receipt, closed loop, ms (medians)</h2>${barChart(latencies(result.medians), 2)}
<h2>Send to receipt at ${result.open.ratePerSecond} messages a second, from the intended send time, ms (medians)</h2>${barChart(latencies(result.open.medians), 2)}
<h2>Figures</h2>${table(result)}
<p>Load CPU a message is the load generator's own. ${result.delivered} messages delivered, ${result.lost} lost.</p>
</html>
`;
}

type Group = { label: string } & SidePair<number>;

function roundsOf(result: E2eResult, key: keyof LoadFigures): Group[] {
  return result.rounds.map((round, at) => ({
    label: `round ${at + 1}${round.isFlushed ? ", flushed" : ""}`,
    floor: round.floor[key],
    parley: round.parley[key],
  }));
}

/** In the charts' two places: before, after. */
function restartsOf({ restarts }: E2eResult): Group[] {
  return restarts.map(({ before, after }, at) => ({
    label: `restart ${at + 1}`,
    floor: before.deliveredPerSecond,
    parley: after.deliveredPerSecond,
  }));
}

function latencies(sides: SidePair<LoadFigures>): Group[] {
  const keys = { p50: "p50Ms", p99: "p99Ms", "p99.9": "p999Ms" } as const;
  return Object.entries(keys).map(([label, key]) => ({ label, floor: sides.floor[key], parley: sides.parley[key] }));
}

function barChart(groups: Group[], digits: number, [first, second] = ["floor", "parley"]): string {
  const largest = Math.max(...groups.flatMap((group) => [group.floor, group.parley]), Number.MIN_VALUE);
  const scale = (WIDTH - LABEL - 90) / largest;
  const rows = groups.flatMap((group, at) => {
    const top = at * (BAR * 2 + 12);
    const bar = (side: keyof typeof COLORS, y: number) =>
      `<rect x="${LABEL}" y="${y}" width="${(group[side] * scale).toFixed(1)}" height="${BAR - 3}" fill="${COLORS[side]}"/>` +
      `<text x="${(LABEL + 6 + group[side] * scale).toFixed(1)}" y="${y + 14}">${group[side].toFixed(digits)}</text>` +
      `<text x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${side === "floor" ? `${escapeHtml(group.label)}, ${first}` : second}</text>`;
    return [bar("floor", top), bar("parley", top + BAR)];
  });
  const height = groups.length * (BAR * 2 + 12);
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">${rows.join("")}</svg>`;
}

function table(result: E2eResult): string {
  const row = (name: string, key: keyof LoadFigures, sides: SidePair<LoadFigures>) =>
    `<tr><td>${name}</td><td>${sides.floor[key]}</td><td>${sides.parley[key]}</td></tr>`;
  const part = (name: string, sides: SidePair<LoadFigures>) =>
    row(`${name}: delivered a second`, "deliveredPerSecond", sides) +
    row(`${name}: server CPU a message, µs`, "serverCpuMicros", sides) +
    row(`${name}: server busy, cores`, "serverCores", sides) +
    row(`${name}: load CPU a message, µs`, "loadCpuMicros", sides) +
    row(`${name}: load busy, cores`, "loadCores", sides) +
    row(`${name}: p50, ms`, "p50Ms", sides) +
    row(`${name}: p99, ms`, "p99Ms", sides) +
    row(`${name}: p99.9, ms`, "p999Ms", sides);
  return `<table><tr><th></th><th>floor</th><th>parley</th></tr>${part("closed loop", result.medians)}${part("open loop", result.open.medians)}</table>`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A report that is a table of text. */
export function plainPage(text: string): string {
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Parley bench</title><pre>${escapeHtml(text)}</pre>
</html>
`;
}
