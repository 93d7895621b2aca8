/**
 * The answer to calls for a user or group in a damaged shard. The lines in the log: src/node/damage-log.ts.
 *
 * Not here: how damage is found, and what a store does then (storage/shard/damage-control.ts).
 */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import type { Address } from "../domain/address.ts";
import { CorruptionError } from "../../storage/errors.ts";

/** Long: an operator has to repair first. */
const RETRY_MS = 60_000;

/** The answer to a command that needs what is damaged. */
export function damagedError(cause: unknown, address?: Address): AppError {
  const whose = address === undefined ? "a user or group that this concerns" : address;
  const detail = `the stored data of ${whose} is damaged; the operator of this server must run "parley repair"`;
  return new AppError("unavailable", detail, { retryAfterMs: RETRY_MS, cause });
}

/** Whether a command was refused, or failed, because data is damaged. */
export const isDamage = (error: unknown): boolean =>
  error instanceof CorruptionError || (error instanceof AppError && error.cause instanceof CorruptionError);

/** Undefined if `ask` meets damage: for callers that can do without the answer. */
export function unlessDamaged<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** The same for work in steps. */
export function* stepsUnlessDamaged<T>(steps: Steps<T>): Steps<T | undefined> {
  try {
    return yield* steps;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
