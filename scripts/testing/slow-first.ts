/**
 * Which test files start first. The slowest go first, so that near the end no core waits for one long file.
 *
 * The table is a hint and not a rule: a file that is not in it starts after those that are, by its name. Update it from the seconds
 * that the runner prints, when a file of more than about four seconds is missing here.
 */
export const SLOWEST: readonly string[] = [
  "test/storage/tools/verify-shard.test.ts",
  "test/cli/launch.test.ts",
  "test/node/erasure-killed.test.ts",
  "test/scripts/torture.test.ts",
];

export function slowFirst(files: readonly string[]): string[] {
  const rank = (file: string): number => {
    const at = SLOWEST.indexOf(file);
    return at < 0 ? SLOWEST.length : at;
  };
  return files.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
