/** Independent streams are mended side by side, so that their records share writes of the log. */

const BATCH = 256;

/**
 * Starts the work of the items in their order, batch by batch. A batch starts when the former one has ended and is
 * written to the log.
 */
export async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += BATCH)
    await Promise.all(items.slice(from, from + BATCH).map((item) => work(item)));
}
