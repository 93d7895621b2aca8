/** Lines of a history, checked: what the checker does not know would make it blind. */
import { HISTORY_FORMAT, type Header, type HistoryLine } from "./format.ts";

/** The file is no history, or not a whole one. */
export class HistoryError extends Error {
  override readonly name = "HistoryError";
}

type Fields = Record<string, unknown>;
type Kind = "text" | "number" | "flag" | "frame";

const CLIENT = { user: "text", device: "text" } as const;
const LINES: Record<HistoryLine["is"], Record<string, Kind>> = {
  open: { c: "number", ...CLIENT },
  out: { c: "number", frame: "frame" },
  in: { c: "number", frame: "frame" },
  close: { c: "number", code: "number" },
  call: { call: "number", ...CLIENT, method: "text", path: "text" },
  answer: { call: "number", status: "number" },
  lost: { call: "number" },
  end: { settled: "flag" },
};
const EXPECTED: Record<Kind, string> = {
  text: "a text",
  number: "a number",
  flag: "true or false",
  frame: "an object or a text",
};

/** @throws HistoryError */
export function parseHeader(text: string): Header {
  const fields = parseObject(text, 1);
  if (fields["history"] === undefined)
    throw new HistoryError(`line 1: is not the header of a history, expected {"history":${HISTORY_FORMAT},…}`);
  if (fields["history"] !== HISTORY_FORMAT)
    throw new HistoryError(`line 1: format ${shown(fields["history"])}; this program reads ${HISTORY_FORMAT}`);
  const { order, isComplete } = fields;
  if (order !== "total" && order !== "clients")
    throw new HistoryError(`line 1: order: ${shown(order)} is not "total" or "clients"`);
  if (typeof isComplete !== "boolean")
    throw new HistoryError(`line 1: isComplete: ${shown(isComplete)} is not true or false`);
  return fields as Header;
}

/** @throws HistoryError */
export function parseLine(text: string, line: number): HistoryLine {
  const fields = parseObject(text, line);
  const kind = fields["is"];
  if (typeof kind !== "string" || !Object.hasOwn(LINES, kind))
    throw new HistoryError(`line ${line}: is: ${shown(kind)} is not one of ${Object.keys(LINES).join(", ")}`);
  const expected = LINES[kind as HistoryLine["is"]];
  for (const field in expected) {
    const fieldKind = expected[field] as Kind;
    if (!isOf(fieldKind, fields[field]))
      throw new HistoryError(`line ${line}: ${field}: ${shown(fields[field])} is not ${EXPECTED[fieldKind]}`);
  }
  return fields as HistoryLine;
}

function parseObject(text: string, line: number): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HistoryError(`line ${line}: is not JSON: ${shown(text)}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new HistoryError(`line ${line}: is not a JSON object: ${shown(text)}`);
}

function isOf(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    case "frame":
      return typeof value === "string" || (typeof value === "object" && value !== null);
  }
}

const shown = (value: unknown): string => (value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80));
