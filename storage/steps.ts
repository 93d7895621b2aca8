/** Work that can be left off at each `yield`. */
export type Steps<Result> = Generator<void, Result>;

/** How long the event loop does nothing else, milliseconds. */
const TURN_MS = 4;

/** All in this turn of the event loop, or a few milliseconds in each. */
export type Pace = "at once" | "over turns";

export async function paced<Result>(pace: Pace, steps: Steps<Result>): Promise<Result> {
  return pace === "at once" ? atOnce(steps) : overTurns(steps);
}

export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A few milliseconds in each turn of the event loop. */
export async function overTurns<Result>(steps: Steps<Result>): Promise<Result> {
  for (;;) {
    const endAt = performance.now() + TURN_MS;
    do {
      const { done, value } = steps.next();
      if (done === true) return value;
    } while (performance.now() < endAt);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
}
