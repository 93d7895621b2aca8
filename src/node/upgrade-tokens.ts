/**
 * A client that shows a valid token with its WebSocket request is not refused for what strangers at the same address
 * did. The token is checked only where a stranger would be refused, and only its signature; `hello` checks whether it
 * was revoked. Each user has a rate.
 *
 * The token is in `Authorization: Bearer`. Browsers cannot set that header; they send it among the protocols: `parley,
 * token.<token>`.
 */
import type { Clock } from "../base/clock.ts";
import { RateBuckets } from "../base/rate-buckets.ts";
import type { Tokens } from "../home/accounts/tokens.ts";
import type { KnownClient } from "../edge/socket/admission.ts";
import type { Penalties } from "../home/session/penalties.ts";

/** The burst allows all sockets of a user twice. */
const RATE = { perSecond: 5, burst: 256 };
/** A connection that is closed for misbehaving costs as much as so many upgrades. */
const STRIKE = 10;
const BEARER = /^Bearer /i;
const PROTOCOL = "token.";

export class UpgradeTokens {
  readonly #tokens: Pick<Tokens, "signedFor">;
  readonly #penalties: Penalties;
  readonly #spent: RateBuckets;

  constructor(tokens: Pick<Tokens, "signedFor">, penalties: Penalties, clock: Clock) {
    this.#tokens = tokens;
    this.#penalties = penalties;
    this.#spent = new RateBuckets(clock);
  }

  /** Spends one of the user's upgrades. @returns undefined for strangers, and for users who have none left */
  spend(headers: Headers): KnownClient | undefined {
    const token = tokenOf(headers);
    if (token === undefined || this.#penalties.waitMs(token) > 0) return undefined;
    const user = this.#tokens.signedFor(token);
    if (user === undefined || this.#spent.take(user, RATE) > 0) return undefined;
    return { struck: () => void this.#spent.take(user, RATE, STRIKE) };
  }
}

function tokenOf(headers: Headers): string | undefined {
  const authorization = headers.get("authorization");
  if (authorization !== null) return authorization.replace(BEARER, "");
  const protocols = headers.get("sec-websocket-protocol")?.split(",") ?? [];
  const shown = protocols.map((name) => name.trim()).find((name) => name.startsWith(PROTOCOL));
  return shown?.slice(PROTOCOL.length);
}
