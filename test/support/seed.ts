/**
 * The seed of a test file: whatever a test draws at random (kill moments, histories, property tests) it draws from this.
 * It is printed, so that a failure shows it; `SEED=number npm test -- FILE` draws the same again, and `RUNS=number` more of it.
 */

const given = process.env["SEED"];

export const SEED: number = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
if (!Number.isInteger(SEED)) throw new Error(`SEED: ${given} is not a whole number`);
console.error(`seed ${SEED}; SEED=${SEED} draws the same again`);

/** Parameters for `fc.assert`. fast-check adds the path to the counterexample when it fails. */
export function seeded(numRuns: number): { seed: number; numRuns: number } {
  return { seed: SEED, numRuns: Number(process.env["RUNS"] ?? numRuns) };
}
