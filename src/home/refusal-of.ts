/** The answer of the edges to an error of a command. */
import { AppError } from "../base/errors.ts";
import { damagedError, isDamage } from "./damage.ts";
import { lostError } from "./refusals.ts";

/** Undefined for an unexpected error. */
export function refusalOf(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  return isDamage(error) ? damagedError(error) : lostError(error);
}
