/** A page that opens without a network, and shows no figure that is missing. */
import { expect } from "bun:test";
import type { Chart } from "../../bench/bench.ts";

export function expectSelfContained(html: string): void {
  // uPlot's own script and style have none either.
  expect(html).not.toMatch(/\s(src|href)="(?!#)|@import|url\(|fetch\(|XMLHttpRequest/);
  expect(html).toContain("uPlot");
  expect(html).toContain('data-chart="0"');
  expect(chartsIn(html)).not.toEqual([]);
  const shown = html.replaceAll(/<(script|style)[^]*?<\/\1>/g, "");
  expect(shown).not.toMatch(/undefined|NaN|\[object/);
}

export function chartsIn(html: string): Chart[] {
  const [, charts] = /<script type="application\/json" id="charts">(.*)<\/script>/.exec(html)!;
  return JSON.parse(charts!) as Chart[];
}
