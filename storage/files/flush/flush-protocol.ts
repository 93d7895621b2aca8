/** What the event loop and the flush worker say to each other. */
import type { EraseRange, ShardId } from "../../types.ts";
import type { DirectoryIdentity } from "../../vfs/held-directory.ts";
import type { RecentOptions } from "./recent-writer.ts";
import type { WriterOptions } from "./shard-writer.ts";
import type { CompactReport, FlushJob } from "../segment-store.ts";

export type WorkerOptions = WriterOptions &
  RecentOptions & {
    writersMax: number;
    /** What the data directory must be, for anything to be written. */
    identity: DirectoryIdentity | undefined;
  };

export type FlushRequest =
  | { kind: "open"; options: WorkerOptions }
  | { kind: "flush"; id: number; job: FlushJob }
  | { kind: "erase"; id: number; shard: ShardId; ranges: EraseRange[] }
  | { kind: "compact"; id: number; shard: ShardId; level: number }
  | { kind: "spill"; id: number; shard: ShardId }
  /** Close the files of the shard. */
  | { kind: "letGo"; id: number; shard: ShardId }
  /** The answer to `release`. */
  | { kind: "released"; id: number }
  | { kind: "close"; id: number };

/**
 * What a request came to. `unsealed` are files of the shard whose readers should let go; `isErasing`: it has erased
 * entries that are not gone from the files.
 */
export type FlushReply =
  | { kind: "flushed"; id: number; unsealed: number[]; isErasing: boolean }
  | { kind: "erased"; id: number }
  | { kind: "spilled"; id: number }
  | { kind: "letGone"; id: number }
  | { kind: "compacted"; id: number; report: CompactReport }
  | { kind: "progress"; id: number; done: number; total: number }
  /** These files are not listed any more: the worker waits until nobody reads them, and removes them. */
  | { kind: "release"; id: number; shard: ShardId; files: number[] }
  | { kind: "failed"; id: number; message: string; code: string }
  | { kind: "closed"; id: number };
