/** What a log says when its bytes are not what they were: which damage is told, and where a torn tail ends. */
import { expect, test } from "bun:test";
import { CorruptionError } from "../../../../storage/errors.ts";
import { checkLog } from "../../../../storage/log/local/check-log.ts";
import { chainAfter, fileHeader, FRAME_HEADER_BYTES, sealFrame } from "../../../../storage/log/local/frame.ts";
import { scanWalFile } from "../../../../storage/log/local/scan.ts";
import { LogHistory } from "../../log-history.ts";
import { entry, openStore, WAL_DIRECTORY } from "../../log-fixture.ts";
import { randomFrom } from "../../../support/random.ts";
import { SimulatedDisk } from "../../vfs/simulated-disk.ts";

const FIRST = `${WAL_DIRECTORY}/0000000001.wal`;

/** A log of three files: one grown, two prepared. */
async function write(disk: SimulatedDisk, { isClosed }: { isClosed: boolean }): Promise<LogHistory> {
  const history = new LogHistory();
  const store = await openStore(disk, { walFileBytes: 600 });
  for (let n = 0; disk.paths().filter((path) => path.endsWith(".wal")).length < 3 || n % 4 !== 0; n++) {
    history.append(store, [entry(`message ${n} of some length`), entry("to another", 8, "@bob")]);
    await store.idle();
  }
  if (isClosed) await store.close();
  return history;
}

const logFiles = (disk: SimulatedDisk): string[] => disk.paths().filter((path) => path.endsWith(".wal"));
const copy = (disk: SimulatedDisk): SimulatedDisk => disk.afterCrash("kill", randomFrom(1));

function flip(bytes: Buffer, bit: number): Buffer {
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  return bytes;
}

/** Bytes of header and frames, without the room behind them. */
function usedBytes(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

/** Where the last frame of the file begins. */
function lastFrameOf(bytes: Buffer): number {
  let last = 24;
  for (let at = last; at < usedBytes(bytes); at += FRAME_HEADER_BYTES + bytes.readUInt32LE(at + 4)) last = at;
  return last;
}

test("in a log that was closed, a flipped bit in any byte before the last mark is told with its file and place, by opening and by checking", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: true });
  expect(checkLog(WAL_DIRECTORY, disk.files).faults).toEqual([]);
  expect(checkLog(WAL_DIRECTORY, disk.files).isMarked).toBe(true);
  for (const path of logFiles(disk)) {
    const whole = disk.bytes(path);
    const used = path === logFiles(disk).at(-1) ? lastFrameOf(whole) : usedBytes(whole);
    const end = path === logFiles(disk).at(-1) ? used : whole.length;
    for (let bit = 0; bit < end * 8; bit += bit < used * 8 ? 3 : 61) {
      disk.overwrite(path, flip(Buffer.from(whole), bit));
      const { faults } = checkLog(WAL_DIRECTORY, disk.files);
      expect(faults.map(({ file }) => file)).toContain(path);
      if (bit < used * 8) {
        const error: unknown = await openStore(copy(disk)).catch((refused: unknown) => refused);
        expect(error).toBeInstanceOf(CorruptionError);
        expect([(error as CorruptionError).file, (error as CorruptionError).place]).toEqual([
          path,
          expect.stringMatching(/^byte \d+$/),
        ]);
      }
    }
    disk.overwrite(path, whole);
  }
});

test("a flipped bit in the mark of a closed log costs nothing, and checking says that no part of the mark is missing", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, { isClosed: true });
  const path = logFiles(disk).at(-1)!;
  const whole = disk.bytes(path);
  const at = lastFrameOf(whole);
  for (let bit = at * 8; bit < whole.length * 8; bit++) {
    const damaged = copy(disk);
    damaged.overwrite(path, flip(Buffer.from(whole), bit));
    expect(checkLog(WAL_DIRECTORY, damaged.files)).toMatchObject({ faults: [], torn: { at, bytes: 24 } });
    const store = await openStore(damaged);
    history.expectIn(store);
    await store.close();
  }
});

test("in a log that was not closed, a flipped bit is told in every frame that anything follows", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, { isClosed: false });
  const path = logFiles(disk).at(-1)!;
  const whole = disk.bytes(path);
  const last = lastFrameOf(whole);
  expect(last).toBeGreaterThan(24);
  for (let bit = 0; bit < last * 8; bit++) {
    disk.overwrite(path, flip(Buffer.from(whole), bit));
    expect(await openStore(copy(disk)).catch((refused: unknown) => refused)).toBeInstanceOf(CorruptionError);
  }
  disk.overwrite(path, whole);
  history.expectIn(await openStore(disk));
});

test("a last frame that nothing follows is cut when it fails its checksum, and checking says that no part of it is missing", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: false });
  const path = logFiles(disk).at(-1)!;
  const whole = disk.bytes(path);
  const at = lastFrameOf(whole);
  for (let bit = at * 8; bit < usedBytes(whole) * 8; bit++) {
    disk.overwrite(path, flip(Buffer.from(whole), bit));
    const isLengthHit = bit >= (at + 4) * 8 && bit < (at + 8) * 8;
    const torn = { file: path, at, bytes: whole.length - at, isWrittenThrough: true };
    expect(checkLog(WAL_DIRECTORY, disk.files)).toMatchObject({ faults: [], torn: isLengthHit ? { at } : torn });
    expect((await openStore(copy(disk))).recovery.tornBytes).toBe(whole.length - at);
  }
});

test("a damaged header of a last file without frames costs nothing and stops nobody", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.close();
  const whole = disk.bytes(FIRST);
  expect(whole.length).toBe(24);
  for (let bit = 0; bit < 24 * 8; bit++) {
    const damaged = copy(disk);
    damaged.overwrite(FIRST, flip(Buffer.from(whole), bit));
    await (await openStore(damaged)).close();
  }
});

test("a bit that flips in room without frames costs nothing, and checking finds it", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, { isClosed: false });
  const path = logFiles(disk).at(-1)!;
  const bytes = disk.bytes(path);
  expect(usedBytes(bytes)).toBeLessThan(bytes.length);
  disk.overwrite(path, flip(bytes, bytes.length * 8 - 3));
  expect(checkLog(WAL_DIRECTORY, disk.files).faults).toMatchObject([{ file: path, place: `byte ${bytes.length - 1}` }]);
  history.expectIn(await openStore(disk));
});

test("a closed log has no room without frames", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, { isClosed: true });
  for (const path of logFiles(disk).slice(-1)) expect(usedBytes(disk.bytes(path))).toBe(disk.bytes(path).length);
  history.expectIn(await openStore(disk));
});

/** A log of one file whose last frame was never acknowledged, and where that frame begins. */
async function withUnackedFrame(): Promise<{ disk: SimulatedDisk; history: LogHistory; at: number }> {
  const disk = new SimulatedDisk();
  const history = new LogHistory();
  const store = await openStore(disk);
  for (const text of ["one", "two"]) {
    history.append(store, [entry(text)]);
    await store.idle();
  }
  const at = disk.bytes(FIRST).length;
  const acked = new Map(history.acked);
  history.append(store, [entry("never acknowledged ".repeat(60)), entry("of the same frame", 8)]);
  await store.idle();
  history.acked.clear();
  for (const [shard, through] of acked) history.acked.set(shard, through);
  return { disk, history, at };
}

test("a torn last frame of any length is cut, and what was acknowledged before it is there", async () => {
  const { disk, history, at } = await withUnackedFrame();
  const whole = disk.bytes(FIRST);
  for (let length = at + 1; length < whole.length; length++) {
    const torn = copy(disk);
    torn.overwrite(FIRST, whole.subarray(0, length));
    expect(checkLog(WAL_DIRECTORY, torn.files)).toMatchObject({
      faults: [],
      torn: { file: FIRST, at, bytes: length - at },
    });
    const store = await openStore(torn);
    expect(store.recovery.tornBytes).toBe(length - at);
    expect(torn.bytes(FIRST).length).toBe(at);
    history.expectIn(store);
    expect(store.shard(7 as never).durableThrough as number).toBe(2);
    await store.close();
  }
});

test("a last frame of which any sectors never arrived is cut", async () => {
  const { disk, history, at } = await withUnackedFrame();
  const whole = disk.bytes(FIRST);
  const sectors = Math.ceil(whole.length / 512);
  expect(sectors).toBeGreaterThan(2);
  for (let arrived = 0; arrived < 2 ** sectors - 1; arrived++) {
    const bytes = Buffer.from(whole);
    for (let sector = 0; sector < sectors; sector++) {
      const from = Math.max(at, sector * 512);
      if ((arrived >> sector) % 2 === 0)
        bytes.fill(0, from, Math.min(bytes.length, Math.max(from, (sector + 1) * 512)));
    }
    const torn = copy(disk);
    torn.overwrite(FIRST, bytes);
    const store = await openStore(torn);
    history.expectIn(store);
    expect(store.shard(7 as never).durableThrough as number).toBe(2);
    await store.close();
  }
});

/** A frame with a body that is drawn, behind a file header. */
function fileWithFrame(frameBytes: number, random: () => number): Buffer {
  const header = fileHeader(1, 0);
  const frame = Buffer.alloc(frameBytes);
  for (let at = FRAME_HEADER_BYTES; at + 4 <= frameBytes; at += 4) frame.writeUInt32LE(random() * 2 ** 32, at);
  sealFrame(frame, frameBytes, 1, chainAfter(header, 0));
  return Buffer.concat([header, frame]);
}

const isRefused = (bytes: Buffer): boolean => {
  try {
    expect(scanWalFile("a file", bytes, { fileNo: 1, isLast: true, chain: 0 }, () => {})).toMatchObject({
      frames: 0,
      torn: true,
    });
    return false;
  } catch (error) {
    if (error instanceof CorruptionError) return true;
    throw error;
  }
};

test("of 4000 torn frames of 512 KiB, each lacking a sector, none is refused", () => {
  const whole = fileWithFrame(512 << 10, randomFrom(7));
  const sectors = Math.floor(whole.length / 512);
  const random = randomFrom(8);
  let refused = 0;
  for (let n = 0; n < 4000; n++) {
    const at = (1 + Math.floor(random() * (sectors - 1))) * 512;
    const sector = Buffer.from(whole.subarray(at, at + 512));
    // Whatever the disk left there.
    for (let byte = at; byte < at + 512; byte += 4) whole.writeUInt32LE(n % 2 === 0 ? 0 : random() * 2 ** 32, byte);
    if (isRefused(whole)) refused++;
    sector.copy(whole, at);
  }
  expect(refused).toBe(0);
});

test("a torn frame that turning one bit makes whole is cut, too", () => {
  // The last sector has one byte of the frame, and garbage was left there that differs in one bit.
  const whole = fileWithFrame(512 * 3 + 1 - 24, randomFrom(9));
  whole[whole.length - 1]! ^= 0x20;
  expect(isRefused(whole)).toBe(false);
});

test("a frame that was taken out of the middle, or swapped, is told", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: true });
  const path = logFiles(disk)[1]!;
  const bytes = disk.bytes(path);
  const frame = FRAME_HEADER_BYTES + bytes.readUInt32LE(24 + 4);
  const next = bytes.subarray(24 + frame, 24 + 2 * frame);
  expect(next.readUInt32LE(4)).toBe(frame - FRAME_HEADER_BYTES);
  const without = Buffer.concat([bytes.subarray(0, 24), bytes.subarray(24 + frame)]);
  const swapped = Buffer.concat([
    bytes.subarray(0, 24),
    next,
    bytes.subarray(24, 24 + frame),
    bytes.subarray(24 + 2 * frame),
  ]);
  for (const changed of [without, swapped]) {
    disk.overwrite(path, changed);
    expect(checkLog(WAL_DIRECTORY, disk.files).faults).not.toEqual([]);
    expect(await openStore(copy(disk)).catch((refused: unknown) => refused)).toBeInstanceOf(CorruptionError);
  }
});

test("a file whose end became zeros is told by the header of the next", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: true });
  const path = logFiles(disk)[1]!;
  const bytes = disk.bytes(path);
  let at = 24;
  for (let end = at; bytes.readUInt32LE(end) !== 0; end += FRAME_HEADER_BYTES + bytes.readUInt32LE(end + 4)) at = end;
  disk.overwrite(path, bytes.fill(0, at));
  expect(await openStore(copy(disk)).catch((refused: unknown) => refused)).toMatchObject({ file: logFiles(disk)[2] });
});

test("two damaged frames in a row are told by the whole one behind them", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: false });
  const path = logFiles(disk).at(-1)!;
  const bytes = disk.bytes(path);
  const second = 24 + FRAME_HEADER_BYTES + bytes.readUInt32LE(24 + 4);
  expect(second).toBeLessThan(lastFrameOf(bytes));
  bytes[24 + FRAME_HEADER_BYTES + 3]! ^= 1;
  bytes.fill(0xaa, second, second + 8);
  disk.overwrite(path, bytes);
  expect(await openStore(copy(disk)).catch((refused: unknown) => refused)).toMatchObject({
    file: path,
    place: "byte 24",
  });
});

test("a missing file is told by its name, wherever it is missing", async () => {
  const disk = new SimulatedDisk();
  await write(disk, { isClosed: true });
  const [, second] = logFiles(disk);
  disk.files.remove(second!);
  expect(checkLog(WAL_DIRECTORY, disk.files).faults[0]).toMatchObject({ file: second, what: "a log file is missing" });
  const refused: unknown = await openStore(copy(disk)).catch((error: unknown) => error);
  expect((refused as Error).message).toContain("0000000002.wal");
});

test("bytes of a message that look like a frame are no frame", async () => {
  const { disk, history, at } = await withUnackedFrame();
  const whole = disk.bytes(FIRST);
  // A real frame, as text would carry it: what is not ASCII is escaped by UTF-8.
  const disguised = Buffer.from(whole.subarray(24, at).toString("latin1"), "utf8");
  const torn = Buffer.concat([whole.subarray(0, at + 40), disguised, Buffer.alloc(600)]);
  disk.overwrite(FIRST, torn);
  history.expectIn(await openStore(disk));
});

test("a prepared file that was taken over and whose header was never written is no damage", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, { isClosed: true });
  const last = logFiles(disk).at(-1)!;
  const fileNo = Number(last.slice(-14, -4)) + 1;
  const file = disk.files.openDurable(`${WAL_DIRECTORY}/${String(fileNo).padStart(10, "0")}.wal`, true);
  disk.files.writeNow(file, Buffer.alloc(600), 0);
  disk.files.close(file);
  expect(checkLog(WAL_DIRECTORY, disk.files).faults).toEqual([]);
  const store = await openStore(disk);
  history.expectIn(store);
  await store.close();
});
