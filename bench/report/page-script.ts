/**
 * Runs in the page: draws each chart with uPlot, whose own script stands before this one. It is transpiled and put into
 * the page as text, so it imports nothing but types. Colours come from the page's style, and charts are drawn again
 * when the reader changes between light and dark, or the width of the window.
 */
import type { Axis, Chart, Series } from "../bench.ts";

/** What is used of uPlot 1.6. */
type Plot = {
  ctx: CanvasRenderingContext2D;
  bbox: { left: number; top: number; width: number; height: number };
  valToPos(value: number, scale: string, inCanvas: boolean): number;
  destroy(): void;
};
type PlotConstructor = {
  new (options: object, data: (number | null)[][], target: HTMLElement): Plot;
  paths: { bars(options: object): unknown };
};
declare const uPlot: PlotConstructor;

const HEIGHT = 300;
const BAR_ROW = 24;
/** Part of a name's place that its bars fill. */
const BAR_SHARE = 0.8;
const NAME_LETTERS_MAX = 44;
const LETTER = 6.6;
const LABELS_MAX = 12;
const LOG_MARGIN = 1.15;
const FIXED_COLORS: Record<string, string> = { parley: "--c1", floor: "--c2", bare: "--c2", "idle loop": "--c2" };
const OTHER_COLORS = ["--c3", "--c4", "--c5", "--c6", "--c7"];

const isBars = (chart: Chart): chart is Chart & { x: { names: string[] } } => "names" in chart.x;

const style = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function colorsOf(series: readonly Series[]): string[] {
  const others = [...OTHER_COLORS];
  return series.map(({ name }) => style(FIXED_COLORS[name] ?? others.shift() ?? "--c7"));
}

function shown(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 10_000) return Math.round(value).toLocaleString("en");
  return size >= 100 || value === 0 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}

const short = (name: string): string =>
  name.length > NAME_LETTERS_MAX ? `${name.slice(0, NAME_LETTERS_MAX - 1)}…` : name;

/** Where each point is: lines at their `x`, bars of one name beside each other, from the top down. */
function placesOf(chart: Chart): number[][] {
  if (!isBars(chart)) return chart.series.map(({ points }) => points.map(({ x }) => x));
  const step = BAR_SHARE / chart.series.length;
  const last = chart.x.names.length - 1;
  return chart.series.map(({ points }, at) =>
    points.map(({ x }) => last - x + ((chart.series.length - 1) / 2 - at) * step),
  );
}

/** One column of places for all series, as uPlot wants it; null where a series has no point. */
function aligned(chart: Chart, places: number[][]): (number | null)[][] {
  const all = [...new Set(places.flat())].toSorted((a, b) => a - b);
  const columns = chart.series.map(({ points }, at) => {
    const column: (number | null)[] = all.map(() => null);
    for (const [i, { y }] of points.entries()) column[all.indexOf(places[at]![i]!)] = finite(y.median);
    return column;
  });
  return [all, ...columns];
}

/** JSON has no NaN. */
const finite = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? value : null);

type Drawing = { chart: Chart; places: number[][]; colors: string[] };

/** Over each median its range, and the aim. */
function drawRanges(plot: Plot, { chart, places, colors }: Drawing): void {
  const ctx = plot.ctx;
  const ratio = devicePixelRatio;
  const isAcross = isBars(chart);
  const stroke = (x1: number, y1: number, x2: number, y2: number): void => {
    ctx.beginPath();
    ctx.moveTo(isAcross ? y1 : x1, isAcross ? x1 : y1);
    ctx.lineTo(isAcross ? y2 : x2, isAcross ? x2 : y2);
    ctx.stroke();
  };
  ctx.save();
  ctx.lineWidth = 1.5 * ratio;
  for (const [at, { points }] of chart.series.entries()) {
    ctx.strokeStyle = isAcross ? style("--text") : colors[at]!;
    for (const [i, { y }] of points.entries()) {
      if (finite(y.min) === null || y.min === y.max) continue;
      const x = plot.valToPos(places[at]![i]!, "x", true);
      const [low, high] = [plot.valToPos(y.min, "y", true), plot.valToPos(y.max, "y", true)];
      stroke(x, low, x, high);
      for (const end of [low, high]) stroke(x - 4 * ratio, end, x + 4 * ratio, end);
    }
  }
  if (isAcross) writeValues(plot, chart, places);
  if (chart.aim !== undefined) drawAim(plot, chart.aim, isAcross, stroke);
  ctx.restore();
}

function writeValues(plot: Plot, chart: Chart, places: number[][]): void {
  const { ctx } = plot;
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.fillStyle = style("--text");
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const [at, { points }] of chart.series.entries()) {
    for (const [i, { y }] of points.entries()) {
      const end = finite(y.max);
      if (end === null) continue;
      const x = plot.valToPos(end, "y", true) + 6 * devicePixelRatio;
      ctx.fillText(shown(y.median), x, plot.valToPos(places[at]![i]!, "x", true));
    }
  }
}

function drawAim(
  plot: Plot,
  { at, label }: { at: number; label: string },
  isAcross: boolean,
  stroke: (x1: number, y1: number, x2: number, y2: number) => void,
): void {
  const { ctx, bbox } = plot;
  const place = plot.valToPos(at, "y", true);
  const [from, to] = isAcross ? [bbox.top, bbox.top + bbox.height] : [bbox.left, bbox.left + bbox.width];
  ctx.strokeStyle = ctx.fillStyle = style("--aim");
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  stroke(from, place, to, place);
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = isAcross ? "center" : "right";
  ctx.textBaseline = "bottom";
  const text = `${label} ${shown(at)}`;
  if (isAcross) ctx.fillText(text, place, bbox.top - 2 * devicePixelRatio);
  else ctx.fillText(text, to, place - 3 * devicePixelRatio);
}

const extremes = (chart: Chart): [number, number] => {
  const values = chart.series.flatMap(({ points }) => points.flatMap(({ y }) => [y.min, y.max]));
  const all = [...values, ...(chart.aim === undefined ? [] : [chart.aim.at])].filter((value) => finite(value) !== null);
  return [Math.min(...all), Math.max(...all)];
};

/** Bars and linear axes begin at zero, so that lengths can be compared. */
function rangeOfY(chart: Chart): [number, number] {
  const [least, greatest] = extremes(chart);
  if (chart.y.isLog !== true || isBars(chart)) return [0, greatest * (isBars(chart) ? 1.12 : 1.08) || 1];
  return [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(greatest))];
}

const axis = (label: string, more: object) => ({
  label,
  stroke: style("--text"),
  grid: { stroke: style("--line"), width: 1 },
  ticks: { stroke: style("--line"), width: 1 },
  font: "12px system-ui, sans-serif",
  labelFont: "12px system-ui, sans-serif",
  labelSize: 20,
  values: (_: Plot, splits: (number | null)[]) => splits.map((value) => (value === null ? "" : shown(value))),
  ...more,
});

function barsOptions(chart: Chart & { x: { names: string[] } }) {
  const { names } = chart.x;
  const letters = Math.max(...names.map((name) => short(name).length));
  return {
    height: names.length * Math.max(1, chart.series.length * 0.72) * BAR_ROW + 90,
    scales: {
      x: { time: false, ori: 1, dir: 1, range: [-0.6, names.length - 0.4] },
      y: { ori: 0, dir: 1, range: rangeOfY(chart) },
    },
    axes: [
      axis("", {
        side: 3,
        size: letters * LETTER + 16,
        splits: () => names.map((_, at) => names.length - 1 - at),
        values: () => names.map(short),
        grid: { show: false },
      }),
      axis(chart.y.label, { side: 2, size: 34, space: 90 }),
    ],
  };
}

/** Few points are labelled one by one. */
function pointsAxis(chart: Chart, { label, isLog }: Axis): { axis: object; range: number[] } {
  const places = [...new Set(chart.series.flatMap(({ points }) => points.map(({ x }) => x)))].toSorted((a, b) => a - b);
  const [least, greatest] = [places[0] ?? 0, places.at(-1) ?? 1];
  const named = places.length > LABELS_MAX ? {} : { splits: () => places, filter: (_: Plot, all: number[]) => all };
  return {
    axis: axis(label, { size: 34, ...named }),
    range: isLog === true ? [least / LOG_MARGIN, greatest * LOG_MARGIN] : [least, greatest],
  };
}

function linesOptions(chart: Chart) {
  const x = pointsAxis(chart, chart.x);
  return {
    height: HEIGHT,
    scales: {
      x: { time: false, distr: (chart.x as Axis).isLog === true ? 3 : 1, range: x.range },
      y: { distr: chart.y.isLog === true ? 3 : 1, range: rangeOfY(chart) },
    },
    axes: [x.axis, axis(chart.y.label, { size: 62 })],
  };
}

function draw(chart: Chart, target: HTMLElement): Plot {
  const places = placesOf(chart);
  const colors = colorsOf(chart.series);
  const series = chart.series.map(({ name }, at) => ({
    label: name,
    stroke: colors[at]!,
    width: isBars(chart) ? 0 : 2,
    spanGaps: true,
    points: { show: !isBars(chart), size: 6, fill: colors[at]! },
    value: (_: Plot, value: number | null) => shown(value),
    ...(isBars(chart) && { fill: colors[at]!, paths: uPlot.paths.bars({ size: [0.9, 40] }) }),
  }));
  const options = {
    width: target.clientWidth,
    ...(isBars(chart) ? barsOptions(chart) : linesOptions(chart)),
    padding: [16, 24, 0, 0],
    cursor: { drag: { x: false, y: false }, show: !isBars(chart) },
    legend: { show: true, live: !isBars(chart) },
    series: [{ label: chart.x.label, value: (_: Plot, value: number | null) => shown(value) }, ...series],
    hooks: { draw: [(plot: Plot) => drawRanges(plot, { chart, places, colors })] },
  };
  return new uPlot(options, aligned(chart, places), target);
}

const charts = JSON.parse(document.getElementById("charts")!.textContent ?? "[]") as Chart[];
let plots: Plot[] = [];
let drawnWidth = 0;

function drawAll(): void {
  for (const plot of plots) plot.destroy();
  const targets = [...document.querySelectorAll<HTMLElement>("[data-chart]")];
  plots = targets.map((target) => draw(charts[Number(target.dataset["chart"])]!, target));
  drawnWidth = document.body.clientWidth;
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
addEventListener("resize", () => {
  if (document.body.clientWidth !== drawnWidth) drawAll();
});
