/** Reads a history line by line, so that its size is no matter. */
import type { Header, HistoryLine } from "./format.ts";
import { HistoryError, parseHeader, parseLine } from "./parse-line.ts";

export type HistoryReader = {
  header(header: Header): void;
  /** Each line behind the header; the first of them has the number 2. */
  line(line: HistoryLine, number: number): void;
};

/** @throws HistoryError */
export async function readHistory(
  chunks: AsyncIterable<Uint8Array>,
  reader: HistoryReader,
  { mayBeCut = false }: { mayBeCut?: boolean } = {},
): Promise<void> {
  const order = new LineOrder(reader);
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) order.take(text);
  }
  if (rest !== "" && !mayBeCut) throw new HistoryError(`line ${order.next}: is cut off`);
  if (order.next === 1) throw new HistoryError("line 1: the file is empty, expected the header of a history");
  if (!order.hasEnded && !mayBeCut)
    throw new HistoryError(`line ${order.next}: the history ends without an "end"; --partial checks what is there`);
}

class LineOrder {
  next = 1;
  hasEnded = false;
  readonly #reader: HistoryReader;

  constructor(reader: HistoryReader) {
    this.#reader = reader;
  }

  take(text: string): void {
    const number = this.next++;
    if (number === 1) return this.#reader.header(parseHeader(text));
    if (this.hasEnded) throw new HistoryError(`line ${number}: stands behind the "end"`);
    const line = parseLine(text, number);
    this.hasEnded = line.is === "end";
    this.#reader.line(line, number);
  }
}
