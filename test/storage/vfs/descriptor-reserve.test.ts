/** Descriptors kept back for the log, on a system that has only so many. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DescriptorReserve } from "../../../storage/vfs/descriptor-reserve.ts";
import { fileSystemOf, type SystemCalls } from "../../../storage/vfs/file-system.ts";

let directory: string;
let open: Set<number>;
let most: number;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "descriptor-reserve-"));
  open = new Set();
  most = Number.POSITIVE_INFINITY;
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

/** The machine, where at most `most` files can be open. */
function limited(): SystemCalls {
  const closed = <T>(file: number, result: T): T => {
    open.delete(file);
    return result;
  };
  return {
    ...fs,
    openSync(...given: Parameters<typeof fs.openSync>) {
      if (open.size >= most) throw Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" });
      const file = fs.openSync(...given);
      open.add(file);
      return file;
    },
    closeSync: (file: number) => closed(file, fs.closeSync(file)),
    close: (file: number, done: fs.NoParamCallback) => closed(file, fs.close(file, done)),
  } as SystemCalls;
}

test("what is kept back goes to the log's files when nothing else is left, and is filled up as soon as something is", async () => {
  const reserve = new DescriptorReserve(3, limited());
  const files = fileSystemOf(reserve.calls);
  const first = files.openDurable(join(directory, "first"), true);
  expect([reserve.kept, open.size]).toEqual([3, 4]);
  most = 4;
  const second = files.openDurable(join(directory, "second"), true);
  files.syncDirectory(directory);
  expect([reserve.kept, open.size]).toEqual([2, 4]);
  const filled = await new Promise((resolve) => files.fillZeros(join(directory, "zeros"), 1000, () => false, resolve));
  expect(filled).toBeNull();
  files.close(first);
  expect([reserve.kept, open.size]).toEqual([3, 4]);
  files.close(second);
  expect([reserve.kept, open.size]).toEqual([3, 3]);
  reserve.release();
  reserve.refill();
  expect(open.size).toBe(0);
});

test("when the reserve is used up the call fails as the system said, and errors of other kinds take nothing from it", () => {
  const reserve = new DescriptorReserve(2, limited());
  const files = fileSystemOf(reserve.calls);
  most = 2;
  expect(() => files.openDurable(join(directory, "missing", "file"), true)).toThrow("ENOENT");
  reserve.refill();
  expect(reserve.kept).toBe(2);
  files.openDurable(join(directory, "first"), true);
  files.openDurable(join(directory, "second"), true);
  expect(() => files.openDurable(join(directory, "third"), true)).toThrow("EMFILE");
  expect(() => files.syncDirectory(directory)).toThrow("EMFILE");
  expect(reserve.kept).toBe(0);
});
