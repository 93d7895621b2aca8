import { HistoryCheck, type Report } from "./checker/check.ts";
import type { Header } from "./format.ts";
import { HistoryError } from "./parse-line.ts";
import { readHistory } from "./read-history.ts";

/** @param chunks of the file @throws HistoryError */
export async function checkChunks(
  chunks: AsyncIterable<Uint8Array>,
  options: { mayBeCut?: boolean } = {},
): Promise<Report> {
  const begun: HistoryCheck[] = [];
  await readHistory(
    chunks,
    {
      header: (header: Header) => void begun.push(new HistoryCheck(header)),
      line: (line, number) => begun[0]?.take(line, number),
    },
    options,
  );
  const [history] = begun;
  if (history === undefined) throw new HistoryError("line 1: no header");
  return history.finish();
}
