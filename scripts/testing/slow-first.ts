/**
 * The test files that run alone, and those that start first. The slowest start first, so that near the end no core
 * waits for one long file.
 *
 * The table is a hint: a file that is not in it starts after those that are, in the order of names. Update it from the
 * seconds that the runner prints, when a file of more than about three seconds is missing here.
 */
export const SLOWEST: readonly string[] = [
  "test/guarantees/under-faults.test.ts",
  "test/bench/all.test.ts",
  "test/cli/launch.test.ts",
  "test/scripts/torture.test.ts",
  "test/history/recorded.test.ts",
  "test/history/broken.test.ts",
  "test/node/erasure-killed.test.ts",
  "test/storage/files/segment-store.test.ts",
  "test/storage/tools/verify-shard.test.ts",
  "test/storage/files/pages.test.ts",
  "test/storage/files/erasure.test.ts",
  "test/storage/tools/shard-export.test.ts",
  "test/guarantees/g1-acked-is-durable.test.ts",
  "test/scripts/under-fire.test.ts",
  "test/node/descriptors.test.ts",
  "test/testing/test-file.test.ts",
  "test/node/erasure.test.ts",
  "test/storage/log-failure.test.ts",
  "test/node/directory-lost.test.ts",
  "test/guarantees/g8-handed-over.test.ts",
  "test/scripts/import-irc.test.ts",
  "test/storage/files/placed/key-index.test.ts",
  "test/node/refusals.test.ts",
  "test/cli/tools-commands.test.ts",
  "test/cli/tools-verify.test.ts",
  "test/cli/compact-erasures.test.ts",
  "test/cli/serve.test.ts",
  "test/session/session.test.ts",
  "test/node/maintenance.test.ts",
  "test/cli/main.test.ts",
  "test/guarantees/g2-and-the-clock.test.ts",
  "test/home/refs-model.test.ts",
];

/** Test files that measure gaps of the event loop, which other processes would lengthen. */
export const ALONE: readonly string[] = ["test/bench/stalls.test.ts"];

export function slowFirst(files: readonly string[]): string[] {
  const rank = (file: string): number => {
    const at = SLOWEST.indexOf(file);
    return at < 0 ? SLOWEST.length : at;
  };
  return files.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
