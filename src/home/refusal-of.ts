/** What the edges answer to whatever a command throws. */
import { AppError } from "../base/errors.ts";
import { damagedError, isDamage } from "./damage.ts";
import { lostError } from "./refusals.ts";

/** Undefined for what nobody foresaw. */
export function refusalOf(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  return isDamage(error) ? damagedError(error) : lostError(error);
}
