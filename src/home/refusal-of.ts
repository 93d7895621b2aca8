/** The answer of the edges to an error of a command. */
import { AppError } from "../base/errors.ts";
import { damagedError, isDamage } from "./damage.ts";
import { lostError } from "./refusals.ts";
import { FencedError } from "../../storage/errors.ts";

const MOVED_MS = 100;

/** Undefined for an unexpected error. */
export function refusalOf(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error;
  if (error instanceof FencedError)
    return new AppError("unavailable", "the data has moved to another node; try again", {
      retryAfterMs: MOVED_MS,
      cause: error,
    });
  return isDamage(error) ? damagedError(error) : lostError(error);
}
