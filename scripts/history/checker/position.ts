/** How far one reader is in one log. */

export type Position = {
  seq: number;
  epoch: string | undefined;
  /**
   * `followed`: the next entry has the next seq. `begun`: the first entry came before the `membership` that says where
   * the log begins for this user. `left`: the user is out of the group, and may come back at any seq. `stale`: of another
   * epoch; a `reset` or a `membership` has to come before anything else.
   */
  state: "followed" | "begun" | "left" | "stale";
  /** Where it began, when `begun`. */
  beganAt: number;
  /** The user came back to the group here: what was said meanwhile need not come. */
  mayJumpTo: number;
  /** Seqs of acks that came apart from the order of entries. */
  apart: Set<number> | undefined;
};

export const position = (seq: number, epoch: string | undefined, state: Position["state"] = "followed"): Position => ({
  ...{ seq, epoch, state },
  ...{ beganAt: seq + 1, mayJumpTo: 0, apart: undefined },
});

export type StreamPositions = {
  epoch: string | undefined;
  timeline: number;
  groups: Record<string, { epoch: string; seq: number }>;
};

/** Positions as cursors and `welcome` have them; what is not well formed is as if it were not there. */
export function streamPositions(value: unknown): StreamPositions | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { epoch, timeline, groups } = value as { epoch?: unknown; timeline?: unknown; groups?: unknown };
  if (typeof timeline !== "number") return undefined;
  const positions = Object.entries((typeof groups === "object" ? groups : undefined) ?? {}).flatMap(([group, at]) => {
    const { epoch, seq } = (at ?? {}) as { epoch?: unknown; seq?: unknown };
    return typeof epoch === "string" && typeof seq === "number" ? [[group, { epoch, seq }] as const] : [];
  });
  return {
    epoch: typeof epoch === "string" ? epoch : undefined,
    timeline,
    groups: Object.fromEntries(positions),
  };
}
