/**
 * Where the log has the last record that was flushed of each shard: a table of `recent.db` for logs whose recovery
 * begins there. The local log reads all that it has, so its directories have no such table.
 *
 *     position   position: of the record with offset `flushed_through`; only the log knows what it means
 *
 * A flush writes it in the transaction that makes the flush count. Where a crash, or a store without this table, left
 * an earlier row, the log reads from there, and what is flushed already is passed over by its offset.
 */
import type { LogPosition, Offset, ShardId } from "../../types.ts";
import type { SqlDatabase } from "../sqlite/database.ts";
import { checkedRow, rowCrc } from "../sqlite/row-crc.ts";

export const POSITION_SCHEMA = `
CREATE TABLE position(shard INTEGER PRIMARY KEY, flushed_through INT, position INT, crc INT);`;

type PositionRow = { shard: number; flushed_through: number; position: number; crc: number };

export function hasPositions(recent: SqlDatabase): boolean {
  return recent.sql("SELECT 1 FROM sqlite_schema WHERE name = 'position'").get() !== undefined;
}

/** Undefined where there is none at `flushedThrough` or before. */
export function findPosition(recent: SqlDatabase, shard: ShardId, flushedThrough: Offset): LogPosition | undefined {
  if (!hasPositions(recent)) return undefined;
  const row = recent.sql("SELECT * FROM position WHERE shard = ?").get<PositionRow>(shard);
  if (row === undefined || checkedRow(recent, "position", row).flushed_through > flushedThrough) return undefined;
  return row.position as LogPosition;
}

/** A transaction must be open. */
export function writePosition(recent: SqlDatabase, shard: ShardId, through: Offset, position: LogPosition): void {
  if (!hasPositions(recent)) recent.exec(POSITION_SCHEMA);
  const values = [shard, through, position] as const;
  recent.sql("INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)").run(...values, rowCrc("position", values));
}
