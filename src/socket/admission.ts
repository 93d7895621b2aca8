/**
 * Who may open another WebSocket: bounds on how many are open, on how many have not said `hello`, and on addresses that misbehave again and again.
 *
 * Decided before the upgrade, so that whoever is refused costs one short answer. A connection counts until it is gone, also while it lingers after a
 * close. Where too many have not said `hello`, the address that has most of those gives way, so that a few addresses keep
 * nobody out. Who shows a token with the upgrade is not counted with the strangers of their address. An address is what src/http/client-address.ts makes of it: behind a proxy that does not say for whom it asks, everybody is one address.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { TokenBucket, type Rate } from "../base/token-bucket.ts";

export type AdmissionBounds = {
  total: number;
  perAddress: number;
  beforeHello: number;
  beforeHelloPerAddress: number;
  /** Connections of one address that may be closed for misbehaving. */
  strikes: Rate;
};

/** Somebody who showed with the upgrade who they are. */
export type KnownClient = {
  /** A connection of theirs was closed for misbehaving: that is theirs, and not their address's. */
  struck(): void;
};

const RETRY_MS = 2000;

/** `strangers`: those that have not said `hello`, oldest first. */
type Address = { key: string; open: number; strangers: Set<AdmittedSocket>; strikes: TokenBucket | undefined };

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Address>();
  /** That have strangers; the one whose strangers came first, first. */
  readonly #strange = new Set<Address>();
  #open = 0;
  #beforeHello = 0;

  constructor(bounds: AdmissionBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#clock = clock;
  }

  get open(): number {
    return this.#open;
  }

  /**
   * @param known who asks, if they show it; called where a stranger would be refused for what strangers of the address did
   * @throws AppError rate_limited or unavailable, with the time to come back
   */
  admit(key: string, known: () => KnownClient | undefined = () => undefined): AdmittedSocket {
    const address = this.#addresses.get(key) ?? { key, open: 0, strangers: new Set(), strikes: undefined };
    this.#checkRoom(address);
    const refusal = this.#refusalOfStranger(address);
    const client = refusal === undefined ? undefined : known();
    if (refusal !== undefined && client === undefined) throw refusal;
    if (client === undefined && this.#beforeHello >= this.#bounds.beforeHello) this.#makeRoom(address);
    this.#addresses.set(key, address);
    return new AdmittedSocket(this, address, client);
  }

  #checkRoom({ open }: Address): void {
    const { total, perAddress } = this.#bounds;
    if (this.#open >= total) throw full("unavailable", `${total} connections are open`);
    if (open >= perAddress) throw full("rate_limited", `${perAddress} connections of your address are open`);
  }

  #refusalOfStranger({ strangers, strikes }: Address): AppError | undefined {
    const { beforeHelloPerAddress } = this.#bounds;
    if (strangers.size >= beforeHelloPerAddress)
      return full("rate_limited", `${beforeHelloPerAddress} connections of your address have not said hello yet`);
    if (strikes === undefined || strikes.spend(0, this.#clock.monotonicMs()) === "within") return undefined;
    const retryAfterMs = Math.max(RETRY_MS, strikes.waitMs);
    const detail = "connections of your address were closed for misbehaving, again and again";
    return new AppError("rate_limited", detail, { retryAfterMs });
  }

  /** @throws AppError unavailable when nobody has more strangers than the newcomer's address */
  #makeRoom({ strangers }: Address): void {
    let most: Address | undefined;
    for (const address of this.#strange)
      if (address.strangers.size > (most?.strangers.size ?? strangers.size)) most = address;
    if (most === undefined)
      throw full("unavailable", `${this.#bounds.beforeHello} connections have not said hello yet`);
    for (const oldest of most.strangers) return oldest.giveWay();
  }

  /** Called by `AdmittedSocket`. */
  opened(address: Address, socket: AdmittedSocket, isStranger: boolean): void {
    address.open++;
    this.#open++;
    if (!isStranger) return;
    address.strangers.add(socket);
    this.#strange.add(address);
    this.#beforeHello++;
  }

  /** It is no stranger any more. */
  known(address: Address, socket: AdmittedSocket): void {
    if (!address.strangers.delete(socket)) return;
    this.#beforeHello--;
    if (address.strangers.size === 0) this.#strange.delete(address);
  }

  ended(address: Address): void {
    address.open--;
    this.#open--;
    if (address.open === 0 && this.#isForgiven(address)) this.#addresses.delete(address.key);
  }

  strike(struck: Address): void {
    // Nobody may be connected from there any more.
    const address = this.#addresses.get(struck.key) ?? struck;
    this.#addresses.set(address.key, address);
    const now = this.#clock.monotonicMs();
    address.strikes ??= new TokenBucket(this.#bounds.strikes, now);
    address.strikes.spend(1, now);
    const { burst, perSecond } = this.#bounds.strikes;
    this.#clock.after((2 * burst * 1000) / perSecond, () => {
      if (address.open === 0 && this.#isForgiven(address)) this.#addresses.delete(address.key);
    });
  }

  #isForgiven({ strikes }: Address): boolean {
    return strikes === undefined || strikes.isFull(this.#clock.monotonicMs());
  }
}

/** One connection, from the upgrade to its end. */
export class AdmittedSocket {
  readonly #admission: Admission;
  readonly #address: Address;
  readonly #client: KnownClient | undefined;
  #onGiveWay: () => void = () => {};

  /** @param client undefined of strangers */
  constructor(admission: Admission, address: Address, client: KnownClient | undefined) {
    this.#admission = admission;
    this.#address = address;
    this.#client = client;
    admission.opened(address, this, client === undefined);
  }

  /** @param onGiveWay ends the connection, which has not said who it is, to make room for another */
  onGiveWay(onGiveWay: () => void): void {
    this.#onGiveWay = onGiveWay;
  }

  /** Called by `Admission`. */
  giveWay(): void {
    this.saidHello();
    this.#onGiveWay();
  }

  /** It has said who it is. */
  saidHello(): void {
    this.#admission.known(this.#address, this);
  }

  /** It is closed for what it did. */
  misbehaved(): void {
    if (this.#client === undefined) this.#admission.strike(this.#address);
    else this.#client.struck();
  }

  ended(): void {
    this.saidHello();
    this.#admission.ended(this.#address);
  }
}

function full(code: "rate_limited" | "unavailable", what: string): AppError {
  return new AppError(code, `${what}, that is the most; come back in ${RETRY_MS} ms`, { retryAfterMs: RETRY_MS });
}
