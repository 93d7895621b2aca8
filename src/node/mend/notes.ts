/** What mending found and did, for the reader of the repair report. */
import type { ShardId } from "../../../storage/types.ts";

/**
 * - `reserved`: the name stays taken.
 * - `password`: the operator has to set one.
 * - `devices`: were logged out.
 * - `raised`: positions were left out.
 * - `membership`: a group and a member disagreed.
 * - `erased`: came back, and was erased again.
 * - `unknown`: cannot be mended.
 */
export type MendKind = "reserved" | "password" | "devices" | "raised" | "membership" | "erased" | "unknown";

/**
 * `stream`: an address, or empty for what concerns the shard; `shard`: undefined for what concerns all that were
 * repaired.
 */
export type MendNote = { shard: ShardId | undefined; stream: string; kind: MendKind; what: string };
