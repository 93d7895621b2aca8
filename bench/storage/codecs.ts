/**
 * LZ4 and zstd on blocks as in segments (storage/files/placed/block.ts), by block size: the packed size, and the speed
 * in both directions. Single-threaded.
 */
import { compressSync, uncompressSync } from "lz4-napi";
import { payloadBytesMax, writeSent, writeTaken } from "../../src/domain/entries.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import { BlockWriter } from "../../storage/files/placed/block.ts";
import type { Item } from "../../storage/encoding/run.ts";
import type { Offset, Seq } from "../../storage/types.ts";
import { loadTexts } from "../measure/texts.ts";
import { round4, seededRandom } from "./measure.ts";
import type { PartContext } from "./part.ts";

export type CodecsParameters = {
  corpus: string | undefined;
  linesMax: number;
  blockBytes: number[];
  /** The most raw bytes that are packed with each codec. */
  bytesMax: number;
  rounds: number;
};

/** `ratio`: packed over raw. Speeds in MB of raw bytes a second. */
export type CodecFigures = { codec: string; ratio: number; packMbPerSecond: number; unpackMbPerSecond: number };
export type CodecBlocks = { blockBytes: number; blocks: number; codecs: CodecFigures[] };

type Codec = { name: string; pack(raw: Buffer): Buffer; unpack(packed: Buffer): Buffer };

const ENTRIES_A_RUN = 32;
const BEGAN_AT = 1_763_740_800_000;

const zstd = (level: number): Codec => ({
  name: `zstd ${level}`,
  pack: (raw) => Bun.zstdCompressSync(raw, { level }),
  unpack: (packed) => Bun.zstdDecompressSync(packed),
});

const CODECS: readonly Codec[] = [
  { name: "lz4", pack: (raw) => compressSync(raw), unpack: (packed) => uncompressSync(packed) },
  zstd(1),
  zstd(3),
  zstd(9),
  zstd(19),
];

export async function codecs(parameters: CodecsParameters, { progress }: PartContext): Promise<CodecBlocks[]> {
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const total = parameters.blockBytes.length * CODECS.length;
  let done = 0;
  progress(done, total);
  return parameters.blockBytes.map((blockBytes) => {
    const blocks = blocksOf(lines, blockBytes, parameters.bytesMax);
    const figures = CODECS.map((codec) => {
      progress(++done, total);
      return measure(codec, blocks, parameters.rounds);
    });
    return { blockBytes, blocks: blocks.length, codecs: figures };
  });
}

function measure(codec: Codec, blocks: Buffer[], rounds: number): CodecFigures {
  const bytes = blocks.reduce((sum, block) => sum + block.length, 0);
  let packed = blocks.map((block) => codec.pack(block));
  const packedBytes = packed.reduce((sum, block) => sum + block.length, 0);
  const packMs = best(rounds, () => void (packed = blocks.map((block) => codec.pack(block))));
  let unpacked: Buffer[] = [];
  const unpackMs = best(rounds, () => void (unpacked = packed.map((block) => codec.unpack(block))));
  if (unpacked.some((block, at) => !blocks[at]!.equals(block))) throw new Error(`${codec.name} lost something`);
  const speed = (ms: number): number => Math.round(bytes / ms / 1000);
  return {
    codec: codec.name,
    ratio: round4(packedBytes / bytes),
    packMbPerSecond: speed(packMs),
    unpackMbPerSecond: speed(unpackMs),
  };
}

/** The fastest of several runs: other programs only ever add time. */
function best(rounds: number, run: () => void): number {
  let ms = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const from = performance.now();
    run();
    ms = Math.min(ms, performance.now() - from);
  }
  return ms;
}

/** Runs as a flush makes them: a number of messages of one conversation, until a block is full. */
function blocksOf(lines: string[], blockBytes: number, bytesMax: number): Buffer[] {
  const writer = new BlockWriter();
  const random = seededRandom(5);
  const blocks: Buffer[] = [];
  let bytes = 0;
  let line = 0;
  for (let lane = 1; bytes < bytesMax && line < lines.length; lane++) {
    const count = Math.min(ENTRIES_A_RUN, lines.length - line);
    const items = Array.from({ length: count }, (_, at) => item(lines[line++]!, lane, at, random));
    writer.add(lane, lane >> 2, `@person${lane}`, items, 0, Number.MAX_SAFE_INTEGER);
    if (writer.length < blockBytes && line < lines.length) continue;
    const block = Buffer.from(writer.finish());
    bytes += block.length;
    blocks.push(block);
  }
  return blocks;
}

/** Every second message is the user's own, with a ref. */
function item(text: string, lane: number, at: number, random: () => number): Item {
  const out = new ByteWriter(Buffer.alloc(payloadBytesMax(text)));
  const sentAt = BEGAN_AT + lane * 7919 + at * 60_000 + Math.floor(random() * 60_000);
  if (at % 2 === 0) writeSent(out, sentAt, text);
  else writeTaken(out, sentAt, (at + 1) as Seq, lane, at + 1, text);
  const key = at % 2 === 0 ? `d7k2-${lane * 10 + at}` : "";
  const [seq, offset] = [(at * 3 + 1) as Seq, (lane * 100 + at * 3) as Offset];
  return { seq, offset, key, bytes: out.bytes, start: 0, length: out.pos };
}
