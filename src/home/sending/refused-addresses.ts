/**
 * Addresses to which a send was refused for the moment because another shard did not reply. Further sends of the user
 * to such an address are refused for a moment too, so that frames already on their way do not end up before the refused
 * one (G4).
 */
import type { AppError } from "../../base/errors.ts";
import type { Address } from "../../domain/address.ts";

/** As for a user who is refused for other reasons (send-tokens.ts). Each refusal prolongs it. */
const REFUSED_MS = 250;
/** From the first refusal on: a sender that does not wait gets through again. */
const REFUSED_MS_MAX = 2000;

type Refused = { readonly error: AppError; untilMs: number; readonly endMs: number };

export class RefusedAddresses {
  #refused: Map<Address, Refused> | undefined;

  /** Does nothing for errors after which the sender should not try again. */
  note(to: Address, error: AppError, nowMs: number): void {
    if (error.code !== "unavailable" && error.code !== "not_owner") return;
    const refused = (this.#refused ??= new Map());
    for (const [address, { untilMs }] of refused) if (untilMs <= nowMs) refused.delete(address);
    const known = refused.get(to);
    if (known === undefined) refused.set(to, { error, untilMs: nowMs + REFUSED_MS, endMs: nowMs + REFUSED_MS_MAX });
    else prolong(known, nowMs);
  }

  /** @throws AppError the first refusal for this address */
  mustNotBe(to: Address, nowMs: number): void {
    const refused = this.#refused?.get(to);
    if (refused === undefined || nowMs >= refused.untilMs) return;
    prolong(refused, nowMs);
    throw refused.error;
  }
}

/** What was sent behind the refused send may still be on its way. */
function prolong(refused: Refused, nowMs: number): void {
  refused.untilMs = Math.min(nowMs + REFUSED_MS, refused.endMs);
}
