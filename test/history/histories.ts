/** Histories as texts. */
import { checkChunks } from "../../scripts/history/check-chunks.ts";
import type { Report } from "../../scripts/history/checker/check.ts";
import type { Sink } from "../../scripts/history/recorder.ts";

export function textSink(): Sink & { text(): string } {
  const chunks: string[] = [];
  return { write: (text) => void chunks.push(text), close: () => {}, text: () => chunks.join("") };
}

export const check = (text: string): Promise<Report> => checkChunks(chunksOf(text));

async function* chunksOf(text: string): AsyncIterable<Uint8Array> {
  yield new TextEncoder().encode(text);
}
