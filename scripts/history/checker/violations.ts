/** What was found, by guarantee. Of each guarantee the first ones are kept, and all are counted. */

export const GUARANTEES = ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9"] as const;
export type GuaranteeName = (typeof GUARANTEES)[number];

export type Violation = {
  guarantee: GuaranteeName;
  /** Lines of the file that together show it, ascending. */
  lines: number[];
  problem: string;
};

const KEPT_MAX = 100;

export class Violations {
  readonly counts = Object.fromEntries(GUARANTEES.map((name) => [name, 0])) as Record<GuaranteeName, number>;
  readonly #kept = new Map<GuaranteeName, Violation[]>();
  readonly #suspected: { holds: () => boolean; violation: Violation }[] = [];

  add(guarantee: GuaranteeName, lines: readonly number[], problem: string): void {
    this.#add(violationOf(guarantee, lines, problem));
  }

  /** One that is none if at the end of the history something else turns out not to hold. */
  addIf(holds: () => boolean, guarantee: GuaranteeName, lines: readonly number[], problem: string): void {
    this.#suspected.push({ holds, violation: violationOf(guarantee, lines, problem) });
  }

  /** @returns in the order of their last lines */
  finish(): Violation[] {
    for (const { holds, violation } of this.#suspected.splice(0)) if (holds()) this.#add(violation);
    return [...this.#kept.values()].flat().sort((a, b) => (a.lines.at(-1) ?? 0) - (b.lines.at(-1) ?? 0));
  }

  #add(violation: Violation): void {
    const { guarantee } = violation;
    this.counts[guarantee]++;
    const kept = this.#kept.get(guarantee) ?? [];
    if (kept.length < KEPT_MAX) kept.push(violation);
    this.#kept.set(guarantee, kept);
  }
}

const violationOf = (guarantee: GuaranteeName, lines: readonly number[], problem: string): Violation => ({
  guarantee,
  lines: [...new Set(lines.filter((line) => line > 0))].sort((a, b) => a - b),
  problem,
});
