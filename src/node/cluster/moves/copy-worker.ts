/** Copies the files of a shard for a move, away from the event loop: making a copy, and unpacking one. */
import { exportShard } from "../../../../storage/tools/export-shard.ts";
import { unpackShard } from "../../../../storage/tools/import-shard.ts";
import type { ShardId } from "../../../../storage/types.ts";

export type CopyRequest =
  | { kind: "export"; directory: string; shard: ShardId; file: string }
  | { kind: "unpack"; directory: string; shard: ShardId; file: string };

/** `through`: offset of the last record in the files. `hasData`: false for a shard without any. */
export type CopyReply = { kind: "done"; through: number; hasData: boolean } | { kind: "failed"; message: string };

declare const self: Worker;

async function work({ kind, directory, shard, file }: CopyRequest): Promise<CopyReply> {
  // All of the shard is in its own files: the caller has seen to that.
  const copied =
    kind === "export" ? await exportShard(directory, shard, file, async () => {}) : unpackShard(directory, file);
  return { kind: "done", through: copied?.flushedThrough ?? 0, hasData: copied !== undefined };
}

self.onmessage = (event: MessageEvent<CopyRequest>) => {
  work(event.data).then(
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
    (reply) => self.postMessage(reply),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
      self.postMessage({ kind: "failed", message } satisfies CopyReply);
    },
  );
};
