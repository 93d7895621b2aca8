/** The cell `erasedFor/USER` of a stream: what requests of USER have erased in it (erase-content.ts). */
import type { Seq } from "../../../storage/types.ts";
import { CellReader, encodeCell } from "../state/cells.ts";

export const ERASED_FOR = "erasedFor/";

/**
 * `request`: the last one. `entries`: how many messages it has erased so far. `fromSeq`: of USER's timeline; messages
 * sent through it that come late are not accepted any more.
 */
export type ErasedFor = { readonly request: number; readonly entries: number; readonly fromSeq: Seq };

export function readErasedFor(cell: Uint8Array | undefined): ErasedFor {
  const fields = new CellReader(cell);
  return { request: fields.number(), entries: fields.number(), fromSeq: fields.number() as Seq };
}

export const erasedForCell = ({ request, entries, fromSeq }: ErasedFor): Uint8Array =>
  encodeCell(request, entries, fromSeq);
