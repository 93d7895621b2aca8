/** Waiting for conditions, bounded: a test that waits in vain says for what. */

export const WAIT_MS = 30_000;
const LOOK_EVERY_MS = 5;

/** @throws when it does not settle in time */
export async function within<T>(what: string, promise: Promise<T>, waitMs = WAIT_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${waitMs} ms in vain for ${what}`)), waitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** For conditions that nobody announces: asks until it holds. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  waitMs: number = WAIT_MS,
): Promise<void> {
  const giveUpAt = performance.now() + waitMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${waitMs} ms in vain until ${what}`);
    await Bun.sleep(LOOK_EVERY_MS);
  }
}
