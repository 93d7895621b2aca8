/**
 * The content of each record of a torture: a pure function of seed, shard and offset, so that the checker needs no list
 * of what was written. Only the batch of a record is not known beforehand; it is in the payload.
 */
import type { LogStoreOptions } from "../../storage/store-options.ts";

export const SHARDS = [0, 1, 7, 500, 999];
export const STREAMS = ["@alice", "@bob", "#hikers"];
export const LANES = ["", "@carol", "#swimmers"];
export const CELLS_MAX = 5;

/** Limits that make rotation, flush, trim, sealed segments and marks frequent. */
export const LIMITS: Omit<LogStoreOptions, "directory"> = {
  walFileBytes: 64 << 10,
  walBytesMax: 256 << 10,
  memtableBytesMax: 128 << 10,
  segmentBytesMax: 256 << 10,
  markAfterMs: 5,
};

export type Content = {
  stream: string;
  lane: string;
  /** "" for none. */
  key: string;
  text: string;
  /** A cell that is written with it, or cleared by null. */
  cell: { key: string; value: string | null } | undefined;
};

const WORDS =
  "the kernel module does not load after an upgrade so try to reboot and then check your sound settings".split(" ");

export function contentOf(seed: number, shard: number, offset: number): Content {
  const draw = mixed(seed, shard, offset);
  const isLarge = draw % 97 === 0;
  const words = isLarge ? 3000 : draw % 60;
  let text = "";
  for (let n = 0; n < words; n++) text += `${WORDS[(draw + n * 7) % WORDS.length]} `;
  const cell = { key: `c${offset % CELLS_MAX}`, value: draw % 11 === 0 ? null : `${offset}` };
  return {
    stream: STREAMS[draw % STREAMS.length]!,
    lane: LANES[(draw >>> 3) % LANES.length]!,
    key: offset % 3 === 0 ? `k${(draw >>> 5) % 50}-${offset}` : "",
    text,
    cell: offset % 2 === 0 ? cell : undefined,
  };
}

export type BatchTag = { batch: string; count: number };

/** `batch` names the batch, `count` says how many records it has. */
export const payloadOf = ({ batch, count }: BatchTag, text: string): string => `${batch} ${count}|${text}`;

export function readPayload(payload: string): BatchTag & { text: string } {
  const at = payload.indexOf("|");
  const [batch, count] = payload.slice(0, at).split(" ");
  return { batch: batch ?? "", count: Number(count), text: payload.slice(at + 1) };
}

function mixed(...values: number[]): number {
  let state = 0x9e3779b9;
  for (const value of values) {
    state = Math.imul(state ^ value, 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state ^= state >>> 16;
  }
  return state >>> 0;
}

/** Random numbers from 0 to 1, the same for the same seeds. */
export function randomOf(...seeds: number[]): () => number {
  let count = 0;
  return () => mixed(...seeds, ++count) / 2 ** 32;
}
