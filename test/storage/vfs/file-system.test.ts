/** The machine's file system as the log uses it, with calls that do less than they were asked to. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  fileSystemOf,
  realFileSystem,
  type FileHandle,
  type FileSystem,
  type SystemCalls,
} from "../../../storage/vfs/file-system.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "file-system-"));
  path = join(directory, "file");
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const BYTES = Buffer.from(Array.from({ length: 1500 }, (_, n) => n % 251));

/** Writes at most `most` bytes a call. */
function short(most: number): FileSystem {
  const write = (file: number, bytes: Buffer, at: number, length: number, position: number, done: never): void =>
    fs.write(file, bytes, at, Math.min(most, length), position, done);
  const writeSync = (file: number, bytes: Buffer, at: number, length: number, position: number): number =>
    fs.writeSync(file, bytes, at, Math.min(most, length), position);
  return fileSystemOf({ ...fs, write, writeSync } as unknown as SystemCalls);
}

const written = (files: FileSystem, file: FileHandle, from: number, to: number, position: number) =>
  new Promise<Error | null>((resolve) => files.write(file, BYTES, from, to, position, resolve));

test.each([3, 64, 512, 1499])("writes that are cut short after %d bytes are continued", async (most) => {
  const files = short(most);
  const file = files.openDurable(path, true);
  files.writeNow(file, BYTES.subarray(0, 100), 0);
  expect(await written(files, file, 100, 1500, 100)).toBeNull();
  files.close(file);
  expect(files.read(path).equals(BYTES)).toBe(true);
});

test("a write that gets nowhere is an error and no endless loop", async () => {
  const files = short(0);
  const file = files.openDurable(path, true);
  expect(() => files.writeNow(file, BYTES, 0)).toThrow("wrote 0 of 1500 bytes at 0");
  expect((await written(files, file, 0, 10, 3))?.message).toBe("wrote 0 of 10 bytes at 3");
  files.close(file);
});

test("a file is made once, opened again as it is, cut, and filled with zeros", async () => {
  const files = realFileSystem;
  const file = files.openDurable(path, true);
  files.writeNow(file, BYTES, 0);
  files.close(file);
  expect(() => files.openDurable(path, true)).toThrow("EEXIST");
  files.close(files.openDurable(path, false));
  files.truncate(path, 17);
  expect(files.read(path).equals(BYTES.subarray(0, 17))).toBe(true);
  const filled = await new Promise<Error | null>((resolve) => files.fillZeros(path, 3_000_000, () => false, resolve));
  expect([filled, files.read(path).length, files.read(path).every((byte) => byte === 0)]).toEqual([
    null,
    3_000_000,
    true,
  ]);
  expect(
    await new Promise<Error | null>((resolve) => files.fillZeros(path, 3_000_000, () => true, resolve)),
  ).toBeInstanceOf(Error);
  expect(files.freeBytes(directory)).toBeGreaterThan(0);
});

test("a file is read to the room that is given when it fits, whatever was there, and elsewhere when it does not", () => {
  const files = realFileSystem;
  const file = files.openDurable(path, true);
  files.writeNow(file, BYTES, 0);
  files.close(file);
  for (const room of [Buffer.alloc(BYTES.length, 0xee), Buffer.alloc(BYTES.length + 100, 0xee)]) {
    const read = files.read(path, room);
    expect(read.equals(BYTES)).toBe(true);
    expect(read.buffer).toBe(room.buffer);
  }
  const small = Buffer.alloc(BYTES.length - 1, 0xee);
  expect(files.read(path, small).equals(BYTES)).toBe(true);
  expect(small.every((byte) => byte === 0xee)).toBe(true);
});

test("an addition that is cut short is continued, and says what the system says when it cannot be", () => {
  let fails = false;
  let calls = 0;
  const writeSync = (file: number, bytes: Buffer, at = 0): number => {
    if (fails && calls++ > 0) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
    return fs.writeSync(file, bytes, at, Math.min(7, bytes.length - at));
  };
  const files = fileSystemOf({ ...fs, writeSync } as unknown as SystemCalls);
  files.append(path, BYTES);
  expect(files.read(path).equals(BYTES)).toBe(true);
  fails = true;
  expect(() => files.append(path, BYTES)).toThrow("ENOSPC");
  expect(files.read(path).length).toBe(BYTES.length + 7);
});
