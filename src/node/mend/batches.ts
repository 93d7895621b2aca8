/** Streams that have nothing to do with each other are mended side by side, so that their records share writes of the log. */

const BATCH = 256;

/** Begins the work of each item in their order. Of a batch all have ended, and of the log as well, before the next begins. */
export async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += BATCH)
    await Promise.all(items.slice(from, from + BATCH).map((item) => work(item)));
}
