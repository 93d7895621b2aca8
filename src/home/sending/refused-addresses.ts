/**
 * Addresses to which a send was refused for the moment because another shard did not reply. Further sends of the user
 * to such an address are refused for a moment too, so that frames already on their way do not end up before the refused
 * one (G4).
 */
import type { AppError } from "../../base/errors.ts";
import type { Address } from "../../domain/address.ts";

/** As for a user who is refused for other reasons (send-tokens.ts). */
const REFUSED_MS = 250;

export class RefusedAddresses {
  #refused: Map<Address, { error: AppError; untilMs: number }> | undefined;

  /** Does nothing for errors after which the sender should not try again. */
  note(to: Address, error: AppError, nowMs: number): void {
    if (error.code !== "unavailable" && error.code !== "not_owner") return;
    const refused = (this.#refused ??= new Map());
    for (const [address, { untilMs }] of refused) if (untilMs <= nowMs) refused.delete(address);
    if (!refused.has(to)) refused.set(to, { error, untilMs: nowMs + REFUSED_MS });
  }

  /** @throws AppError the first refusal for this address */
  mustNotBe(to: Address, nowMs: number): void {
    const refused = this.#refused?.get(to);
    if (refused !== undefined && nowMs < refused.untilMs) throw refused.error;
  }
}
