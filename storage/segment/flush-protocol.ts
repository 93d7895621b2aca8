/** What the event loop and the flush worker say to each other. Replies come in the order of the requests. */
import type { FlushJob } from "./types.ts";
import type { WriterOptions } from "./shard-writer.ts";

export type WorkerOptions = WriterOptions & { writersMax: number };

export type FlushRequest =
  | { kind: "open"; options: WorkerOptions }
  | { kind: "flush"; id: number; job: FlushJob }
  | { kind: "close"; id: number };

/** `unsealed`: segments of the shard whose readers should let go. A failed job comes back with its buffers. */
export type FlushReply =
  | { kind: "done"; id: number; unsealed: number[] }
  | { kind: "failed"; id: number; message: string; code: string; job: FlushJob }
  | { kind: "closed"; id: number };
