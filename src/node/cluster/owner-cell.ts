/**
 * Who owns a shard, as a cell of the shard's own log: the record that begins or ends an ownership.
 *
 * - *started*: the node writes to the shard from this record on, in this term.
 * - *released*: the owner before has written its last record, which is this one. Only the named node may go on.
 *
 * A shard without the cell belongs to its founder, in the first term.
 */
import type { NodeId } from "../../cluster/map/partition-map.ts";
import { SHARD_STREAM } from "../../home/state/cells.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { LogFailure } from "../../../storage/errors.ts";
import type { Offset, Term } from "../../../storage/types.ts";

const CELL = "owner";

export type OwnerRecord = { readonly state: "started" | "released"; readonly node: NodeId; readonly term: number };

/** Undefined for a shard that was never moved. @throws CorruptionError */
export function ownerRecord(log: ShardLog): OwnerRecord | undefined {
  const cell = log.cell(SHARD_STREAM, CELL);
  if (cell === undefined) return undefined;
  return JSON.parse(Buffer.from(cell).toString()) as OwnerRecord;
}

/** @returns the offset of the record, once it is durable */
function append(log: ShardLog, record: OwnerRecord): Promise<Offset> {
  const { promise, resolve, reject } = Promise.withResolvers<Offset>();
  const offset = log.nextOffset;
  const handle = new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));
  log.append({
    encode: () => log.putCell(handle, CELL, Buffer.from(JSON.stringify(record))),
    committed: () => resolve(offset),
    failed: (error: LogFailure) => reject(error),
  });
  return promise;
}

/** The last record of this ownership. The caller lets nothing follow it. */
export const release = (log: ShardLog, to: NodeId): Promise<Offset> =>
  append(log, { state: "released", node: to, term: log.term });

/** The first record of the next term. @throws Error if the log was not released to the node */
export function start(log: ShardLog, node: NodeId): Promise<Offset> {
  const record = ownerRecord(log);
  if (record?.state !== "released" || record.node !== node)
    throw new Error(`shard ${log.shard} was not released to ${node}: its log says ${JSON.stringify(record ?? null)}`);
  const term = (record.term + 1) as Term;
  const fault = log.beginTerm(term);
  if (fault !== undefined) throw new Error(`shard ${log.shard} ${fault}`);
  return append(log, { state: "started", node, term });
}
