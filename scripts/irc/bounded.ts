/**
 * Runs `work` for each item, at most `max` at once, started in order. The first failure ends it without waiting for the
 * others.
 */
export async function forEachBounded<T>(
  items: Iterable<T>,
  max: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  let hasFailed = false;
  const worker = async () => {
    for (let next = waiting.next(); next.done !== true && !hasFailed; next = waiting.next()) await work(next.value);
  };
  const workers = Array.from({ length: max }, () =>
    worker().catch((error: unknown) => {
      hasFailed = true;
      throw error;
    }),
  );
  await Promise.all(workers);
}
