/**
 * Appends through LogStore and its group commit, beside the least a program can do to make the same frames durable. The
 * sides alternate, round after round.
 *
 * The bare sides write prepared frames with synchronous calls and nothing else: no encoding, checksum, memtable or
 * notification. Parley's side does all of it. While one frame is written the next is encoded, so a frame holds one
 * batch. Nothing is flushed to segments.
 */
import { closeSync, constants, existsSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { FileSystem } from "../../storage/vfs/file-system.ts";
import { realFileSystem } from "../../storage/vfs/file-system.ts";
import { walFileName } from "../../storage/log/local/frame.ts";
import { loadTexts } from "../measure/texts.ts";
import { Chat, RECORDS_PER_MESSAGE } from "./chat.ts";
import { bytesWritten, cpuMicros, round4 } from "./measure.ts";
import type { PartContext } from "./part.ts";
import { forgetfulSegments, openLog, UNBOUNDED, unsyncedFiles } from "./stores.ts";

export type AppendParameters = {
  corpus: string | undefined;
  linesMax: number;
  /** Approximate bytes of records in a frame; 0: one message. */
  batchBytes: number[];
  rounds: number;
  roundMs: number;
  /** The most that one side writes in a round. */
  roundBytesMax: number;
  walFileBytes: number;
  users: number;
};

export const BARE_SIDES = {
  fdatasync: { isPrepared: false, sync: "fdatasync" },
  dsync: { isPrepared: false, sync: "O_DSYNC" },
  preparedFdatasync: { isPrepared: true, sync: "fdatasync" },
  preparedDsync: { isPrepared: true, sync: "O_DSYNC" },
  unsynced: { isPrepared: false, sync: "none" },
} as const;

export type BareSide = keyof typeof BARE_SIDES;
export type AppendSide = "parley" | "parleyUnsynced" | BareSide;

export type AppendFigures = {
  recordsPerSecond: number;
  mbPerSecond: number;
  framesPerSecond: number;
  cpuMicrosPerRecord: number;
  /** Bytes handed to write calls for each byte of frames; undefined where the system does not say. */
  writeAmplification: number | undefined;
};

export type AppendRound = Record<AppendSide, AppendFigures>;
export type AppendBatch = { batchBytes: number; messages: number; frameBytes: number; rounds: AppendRound[] };

type Tally = { records: number; bytes: number; frames: number };

const WARM_UP_MS_MAX = 3000;
const KEPT_FRAMES = 64;
const KEPT_FRAME_BYTES_MAX = 16 << 20;

export async function append(parameters: AppendParameters, context: PartContext): Promise<AppendBatch[]> {
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const batches: AppendBatch[] = [];
  const sides = 2 + Object.keys(BARE_SIDES).length;
  const total = parameters.batchBytes.length * parameters.rounds * sides;
  let done = 0;
  context.progress(done, total);
  for (const batchBytes of parameters.batchBytes) {
    const bench = await AppendBench.prepare(parameters, context.directory, lines, batchBytes);
    const rounds: AppendRound[] = [];
    for (let round = 0; round < parameters.rounds; round++) {
      rounds.push(await bench.round(round, () => context.progress(++done, total)));
    }
    batches.push({ batchBytes, messages: bench.messages, frameBytes: Math.round(bench.frameBytes), rounds });
  }
  return batches;
}

class AppendBench {
  readonly #parameters: AppendParameters;
  readonly #directory: string;
  readonly #lines: string[];
  readonly messages: number;
  readonly #frames: Buffer[] = [];

  /** Records the frames that Parley makes of the batches, for the bare sides to write. */
  static async prepare(
    parameters: AppendParameters,
    directory: string,
    lines: string[],
    batchBytes: number,
  ): Promise<AppendBench> {
    const probe = new AppendBench(parameters, directory, lines, 1);
    await probe.#takeDown(KEPT_FRAMES);
    const messages = Math.max(1, Math.round(batchBytes / probe.frameBytes));
    const bench = new AppendBench(parameters, directory, lines, messages);
    await bench.#takeDown(
      Math.max(2, Math.min(KEPT_FRAMES, Math.floor(KEPT_FRAME_BYTES_MAX / Math.max(1, batchBytes)))),
    );
    return bench;
  }

  private constructor(parameters: AppendParameters, directory: string, lines: string[], messages: number) {
    this.#parameters = parameters;
    this.#directory = directory;
    this.#lines = lines;
    this.messages = messages;
  }

  /** Mean size of a frame. */
  get frameBytes(): number {
    return this.#frames.reduce((sum, frame) => sum + frame.length, 0) / this.#frames.length;
  }

  async round(round: number, onSide: () => void): Promise<AppendRound> {
    const sides: [AppendSide, () => Promise<AppendFigures>][] = [
      ["parley", () => this.#parley(realFileSystem)],
      ...Object.keys(BARE_SIDES).map((side): [AppendSide, () => Promise<AppendFigures>] => [
        side as BareSide,
        async () => this.#bare(side as BareSide),
      ]),
      ["parleyUnsynced", () => this.#parley(unsyncedFiles())],
    ];
    // The first side pays for writes that the side before it left, so another side goes first each time.
    const turned = [...sides.slice(round % sides.length), ...sides.slice(0, round % sides.length)];
    const figures = {} as AppendRound;
    for (const [side, run] of turned) {
      figures[side] = await run();
      onSide();
    }
    return figures;
  }

  async #takeDown(count: number): Promise<void> {
    const files = unsyncedFiles();
    const write: FileSystem["write"] = (file, bytes, from, to, position, done) => {
      if (this.#frames.length < count) this.#frames.push(Buffer.from(bytes.subarray(from, to)));
      files.write(file, bytes, from, to, position, done);
    };
    await this.#appending({ ...files, write }, async (batches) => {
      while (this.#frames.length < count) await batches.run(performance.now(), 0);
    });
  }

  #parley(files: FileSystem): Promise<AppendFigures> {
    const { roundMs, roundBytesMax } = this.#parameters;
    return this.#appending(files, async (batches, directory) => {
      const warmBy = performance.now() + WARM_UP_MS_MAX;
      // From its second file on, the log writes into prepared space, as in normal operation.
      const isWarm = (): boolean => existsSync(join(directory, "wal", walFileName(2)));
      while (!isWarm() && performance.now() < warmBy) await batches.run(performance.now() + 20, roundBytesMax);
      return figuresOf(() => batches.run(performance.now() + roundMs, roundBytesMax));
    });
  }

  async #appending<T>(files: FileSystem, use: (batches: Batches, directory: string) => Promise<T>): Promise<T> {
    const directory = join(this.#directory, "log");
    const { walFileBytes, users } = this.#parameters;
    const options = {
      directory,
      files,
      walFileBytes,
      walBytesMax: UNBOUNDED,
      memtableBytesMax: UNBOUNDED,
      markAfterMs: 0,
    };
    const batches = new Batches();
    // Segments are excluded: nothing is flushed.
    const store = await openLog({ ...options, segments: forgetfulSegments() }, { beforeWrite: batches.nextSoon });
    const chat = new Chat(store, { lines: this.#lines, users, shards: 64, peers: 20, seed: 7 });
    batches.begin(chat, this.messages, this.frameBytes || 0);
    try {
      return await use(batches, directory);
    } finally {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async #bare(side: BareSide): Promise<AppendFigures> {
    const path = join(this.#directory, `bare-${side}`);
    const { isPrepared, sync } = BARE_SIDES[side];
    const { walFileBytes, roundMs } = this.#parameters;
    const flags = constants.O_WRONLY | constants.O_CREAT | (sync === "O_DSYNC" ? constants.O_DSYNC : 0);
    if (isPrepared)
      await new Promise<void>((resolve, reject) => {
        realFileSystem.fillZeros(
          path,
          walFileBytes,
          () => false,
          (error) => (error ? reject(error) : resolve()),
        );
      });
    const file = openSync(path, flags, 0o600);
    try {
      const run = (ms: number): Tally => this.#writeBare(file, sync === "fdatasync", performance.now() + ms);
      run(roundMs / 10);
      return await figuresOf(() => Promise.resolve(run(roundMs)));
    } finally {
      closeSync(file);
      rmSync(path);
    }
  }

  /** Writes from the start of the file; in a prepared file it wraps around. */
  #writeBare(file: number, mustSync: boolean, until: number): Tally {
    const { roundBytesMax, walFileBytes } = this.#parameters;
    const tally = { records: 0, bytes: 0, frames: 0 };
    let position = 0;
    while (performance.now() < until && tally.bytes < roundBytesMax) {
      const frame = this.#frames[tally.frames % this.#frames.length]!;
      if (position + frame.length > walFileBytes) position = 0;
      writeSync(file, frame, 0, frame.length, position);
      if (mustSync) fdatasyncSync(file);
      position += frame.length;
      tally.frames++;
      tally.bytes += frame.length;
      tally.records += this.messages * RECORDS_PER_MESSAGE;
    }
    return tally;
  }
}

/** Batches of messages, one a frame: the next is encoded as soon as the one before is being written. */
class Batches {
  #chat: Chat | undefined;
  #messages = 0;
  #frameBytes = 0;
  #until = 0;
  #bytesMax = 0;
  #tally: Tally = { records: 0, bytes: 0, frames: 0 };
  #pending = 0;
  /** The frame of the last batch is still open. */
  #isGathering = false;
  #onDone: (() => void) | undefined;

  begin(chat: Chat, messages: number, frameBytes: number): void {
    this.#chat = chat;
    this.#messages = messages;
    this.#frameBytes = frameBytes;
  }

  /** Runs until that time, and for at least one batch. */
  run(until: number, bytesMax: number): Promise<Tally> {
    this.#until = until;
    this.#bytesMax = bytesMax;
    this.#tally = { records: 0, bytes: 0, frames: 0 };
    return new Promise((resolve) => {
      this.#onDone = () => resolve(this.#tally);
      this.#append();
    });
  }

  /** Called just before a frame is closed: records appended after this turn go to the next one. */
  readonly nextSoon = (): void => {
    this.#isGathering = false;
    setImmediate(this.#next);
  };

  /** One batch gathers while another is written. */
  readonly #next = (): void => {
    if (this.#isGathering) return;
    if (this.#mustGoOn) this.#append();
    else if (this.#pending === 0) this.#end();
  };

  get #mustGoOn(): boolean {
    return performance.now() < this.#until && this.#tally.bytes < this.#bytesMax;
  }

  #append(): void {
    this.#isGathering = true;
    this.#pending += this.#messages;
    for (let left = this.#messages; left > 1; left--) this.#chat!.message(this.#one);
    this.#chat!.message(this.#last);
  }

  readonly #one = { committed: () => void this.#pending--, failed: () => {} };
  readonly #last = {
    committed: (): void => {
      this.#pending--;
      this.#tally.frames++;
      this.#tally.records += this.#messages * RECORDS_PER_MESSAGE;
      this.#tally.bytes += this.#frameBytes;
      if (this.#pending === 0) this.#next();
    },
    failed: () => {},
  };

  #end(): void {
    const done = this.#onDone;
    this.#onDone = undefined;
    done?.();
  }
}

async function figuresOf(run: () => Promise<Tally>): Promise<AppendFigures> {
  const beganAt = performance.now();
  const cpuBefore = cpuMicros();
  const writtenBefore = bytesWritten();
  const { records, bytes, frames } = await run();
  const seconds = (performance.now() - beganAt) / 1000;
  const written = bytesWritten();
  return {
    recordsPerSecond: Math.round(records / seconds),
    mbPerSecond: round4(bytes / seconds / 1e6),
    framesPerSecond: Math.round(frames / seconds),
    cpuMicrosPerRecord: round4((cpuMicros() - cpuBefore) / records),
    writeAmplification:
      written === undefined || writtenBefore === undefined ? undefined : round4((written - writtenBefore) / bytes),
  };
}
