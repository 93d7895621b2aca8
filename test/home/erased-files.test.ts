/** Whether files may have what was erased is known without looking into them, and in doubt the answer is yes. */
import { expect, test } from "bun:test";
import { ErasedFiles, RANGES_MAX } from "../../src/home/erasing/erased-files.ts";

function files(isPending = false): { files: ErasedFiles; wanted: () => number } {
  const erased = new ErasedFiles(() => isPending);
  let wanted = 0;
  erased.onWanted = () => wanted++;
  return { files: erased, wanted: () => wanted };
}

test("without erasures there is nothing, and nobody is told", () => {
  const { files: erased, wanted } = files();
  expect([erased.ask(), erased.mayHold, wanted()]).toEqual([true, false, 0]);
});

test("an erasure is there until files were emptied that had it", async () => {
  const { files: erased, wanted } = files();
  erased.erased(1);
  expect([erased.ask(), wanted()]).toEqual([false, 1]);
  await erased.emptied(async () => erased.erased(1));
  expect(erased.ask()).toBe(false);
  await erased.emptied(async () => {});
  expect(erased.ask()).toBe(true);
});

test("files that could not be emptied may have it as before", async () => {
  const { files: erased } = files();
  erased.erased(1);
  await expect(erased.emptied(async () => Promise.reject(new Error("disk full")))).rejects.toThrow("disk full");
  expect(erased.ask()).toBe(false);
});

test("what a start found in the log counts when somebody asks, until files were emptied", async () => {
  const { files: erased, wanted } = files();
  erased.recovered();
  expect([erased.mayHold, erased.ask(), wanted()]).toEqual([false, false, 1]);
  await erased.emptied(async () => {});
  expect(erased.ask()).toBe(true);
});

test("what files are known to have is there", () => {
  expect(files(true).files.ask()).toBe(false);
});

test("many ranges are reason enough to empty files, and said once", () => {
  const { files: erased, wanted } = files();
  for (let range = 0; range < RANGES_MAX + 2; range++) erased.erased(1);
  expect(wanted()).toBe(1);
});
