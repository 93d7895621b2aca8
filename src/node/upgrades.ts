/**
 * Requests for a WebSocket: checks whether they are valid, and grants or refuses them.
 *
 * Each address may ask a number of times a second, granted or not. Requests beyond that are refused before any other
 * check, by a response that is made once. So a client that opens and closes connections in a loop costs little more
 * than the system's own work.
 */
import type { Server } from "bun";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { RateBuckets } from "../base/rate-buckets.ts";
import type { Rate } from "../base/token-bucket.ts";
import { clientAddress, fairnessKey } from "../edge/http/client-address.ts";
import { hasOneHost } from "../edge/http/host.ts";
import { problemResponse } from "../edge/http/problem.ts";
import type { Admission, KnownClient } from "../edge/socket/admission.ts";
import { SocketData } from "../edge/socket/socket-server.ts";
import type { Connections } from "./connections.ts";
import type { UpgradeTokens } from "./upgrade-tokens.ts";

export type UpgradesParts = {
  connections: Connections;
  admission: Admission;
  tokens: UpgradeTokens;
  clock: Clock;
  /** Requests a second of one address. */
  perSecond: number;
};

const BURST_SECONDS = 10;
const TOO_FAST_MS = 1000;
const CLOSE = { connection: "close" };

export const isUpgrade = ({ headers }: Request): boolean => headers.get("upgrade")?.toLowerCase() === "websocket";

/** Checks what the runtime does not check before it upgrades. */
function isSound(request: Request): boolean {
  const connection = request.headers.get("connection")?.toLowerCase().split(",") ?? [];
  const isMeant = connection.some((word) => word.trim() === "upgrade");
  return isMeant && request.headers.has("host") && hasOneHost(request);
}

export class Upgrades {
  readonly #parts: UpgradesParts;
  readonly #rate: Rate;
  readonly #asked: RateBuckets;
  readonly #tooFast: Response;
  /** Called for each refused request. */
  onRefused: (() => void) | undefined;

  constructor(parts: UpgradesParts) {
    const { perSecond } = parts;
    this.#parts = parts;
    this.#rate = { perSecond, burst: perSecond * BURST_SECONDS };
    this.#asked = new RateBuckets(parts.clock);
    this.#tooFast = problemResponse(tooFast(perSecond), CLOSE);
  }

  /** @returns undefined when the upgrade is granted */
  answer(request: Request, server: Server<SocketData>): Response | undefined {
    const refusal = this.#refusal(request, server);
    if (refusal !== undefined) this.onRefused?.();
    return refusal;
  }

  #refusal(request: Request, server: Server<SocketData>): Response | undefined {
    const peer = server.requestIP(request);
    const address = fairnessKey(clientAddress(peer?.address, request.headers));
    const { connections, admission, tokens } = this.#parts;
    let client: KnownClient | undefined;
    if (this.#asked.take(address, this.#rate) > 0) {
      client = tokens.spend(request.headers);
      if (client === undefined) return this.#tooFast.clone();
    }
    if (!isSound(request)) return problemResponse(notSound(), CLOSE);
    const refusal = connections.refusal();
    if (refusal !== undefined) return problemResponse(refusal, CLOSE);
    try {
      const data = new SocketData(admission.admit(address, () => client ?? tokens.spend(request.headers)));
      if (!server.upgrade(request, { data })) {
        data.gone();
        return problemResponse(notSound(), CLOSE);
      }
      data.closed = connections.open(peer, data);
      return undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return problemResponse(error, CLOSE);
    }
  }
}

const notSound = (): AppError =>
  new AppError("bad_request", "the WebSocket upgrade is not valid: one Host, Connection: Upgrade, Upgrade: websocket");

const tooFast = (perSecond: number): AppError =>
  new AppError("rate_limited", `your address asks for more than ${perSecond} connections a second; come back later`, {
    retryAfterMs: TOO_FAST_MS,
  });
