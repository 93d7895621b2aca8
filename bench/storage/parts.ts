/** The parts by name, for the process that runs one. */
import { append } from "./append.ts";
import { codecs } from "./codecs.ts";
import { corpus } from "./corpus.ts";
import { flush } from "./flush.ts";
import { buildPages } from "./pages-build.ts";
import { readPages } from "./pages-read.ts";
import type { Part } from "./part.ts";
import { rows } from "./rows.ts";
import { writeLog } from "./recovery-write.ts";
import { recoverOnce } from "./recovery-open.ts";

export const PARTS = { append, buildPages, codecs, corpus, flush, readPages, recoverOnce, rows, writeLog };

export type PartName = keyof typeof PARTS;
export type ParametersOf<Name extends PartName> = Parameters<(typeof PARTS)[Name]>[0];
export type FiguresOf<Name extends PartName> = Awaited<ReturnType<(typeof PARTS)[Name]>>;

export function partNamed(name: string): Part<unknown, unknown> {
  const part = (PARTS as unknown as Record<string, Part<unknown, unknown>>)[name];
  if (part === undefined) throw new Error(`no part ${name}`);
  return part;
}
