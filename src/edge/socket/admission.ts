/**
 * Decides whether another WebSocket may be opened. Bounds: open connections, connections that have not said `hello`
 * ("strangers"), and addresses that misbehave again and again.
 *
 * Decided before the upgrade, so that a refusal costs one short answer. A connection counts until it is gone, also
 * while it lingers after a close.
 *
 *     total  ├──── have said hello: the user with most gives way ────┼── strangers: the address with most gives way ──┤
 *
 * If there are too many strangers, the address that has the most of them gives way, so that a few addresses keep nobody
 * out. Part of the total is kept free for strangers; the others share the rest (known-places.ts). A client that shows a
 * token with the upgrade does not count among the strangers of its address.
 *
 * An address comes from src/edge/http/client-address.ts: behind a proxy that names no clients, all clients are one
 * address.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { TokenBucket, type Rate } from "../../base/token-bucket.ts";
import type { UserId } from "../../domain/address.ts";
import { KnownPlaces } from "../../home/session/known-places.ts";

export type AdmissionBounds = {
  total: number;
  perAddress: number;
  beforeHello: number;
  beforeHelloPerAddress: number;
  /** How often connections of one address may be closed for misbehaving. */
  strikes: Rate;
};

/** A client that showed a valid token with the upgrade. */
export type KnownClient = {
  /** A connection of this client was closed for misbehaving. It counts against the client, not against the address. */
  struck(): void;
};

const RETRY_MS = 2000;
const PLACE_RETRY_MS = 10_000;
/** The part of the total that is kept free for strangers, at most. */
const FREE_SHARE = 1 / 8;
/** The places of so many connections that gave way and are not gone yet may be used already. */
const LEAVING_MAX = 256;

/** `strangers`: connections that have not said `hello`, oldest first. */
type Address = { key: string; open: number; strangers: Set<AdmittedSocket>; strikes: TokenBucket | undefined };

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Address>();
  /** Addresses with strangers; the address whose strangers came first is first. */
  readonly #strange = new Set<Address>();
  readonly #places: KnownPlaces<AdmittedSocket>;
  #open = 0;
  #beforeHello = 0;
  /** Connections that gave way and are not gone. */
  #leaving = 0;

  constructor(bounds: AdmissionBounds, clock: Clock) {
    const { total, beforeHello } = bounds;
    this.#places = new KnownPlaces(total - Math.min(beforeHello, Math.floor(total * FREE_SHARE)));
    this.#bounds = bounds;
    this.#clock = clock;
  }

  get open(): number {
    return this.#open;
  }

  /**
   * @param known the client, if it shows a token; called only if a stranger of this address would be refused
   * @throws AppError rate_limited or unavailable, with the time to come back
   */
  admit(key: string, known: () => KnownClient | undefined = () => undefined): AdmittedSocket {
    const address = this.#addresses.get(key) ?? { key, open: 0, strangers: new Set(), strikes: undefined };
    const { perAddress, total, beforeHello } = this.#bounds;
    if (address.open >= perAddress) throw full("rate_limited", `${perAddress} connections of your address are open`);
    const refusal = this.#refusalOfStranger(address);
    const client = refusal === undefined ? undefined : known();
    if (refusal !== undefined && client === undefined) throw refusal;
    const strangers = client === undefined ? address.strangers.size : 0;
    if (client === undefined && this.#beforeHello >= beforeHello && !this.#makesRoom(strangers))
      throw full("unavailable", `${beforeHello} connections have not said hello yet`);
    if (this.#isFull && (!this.#makesRoom(strangers) || this.#isFull))
      throw full("unavailable", `${total} connections are open`);
    this.#addresses.set(key, address);
    return new AdmittedSocket(this, address, client);
  }

  get #isFull(): boolean {
    return this.#open - Math.min(this.#leaving, LEAVING_MAX) >= this.#bounds.total;
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

  /**
   * Makes a connection of the address with the most strangers give way. @returns whether an address had more than
   * `strangers`
   */
  #makesRoom(strangers: number): boolean {
    let most: Address | undefined;
    for (const address of this.#strange)
      if (address.strangers.size > (most?.strangers.size ?? strangers)) most = address;
    if (most === undefined) return false;
    for (const oldest of most.strangers) {
      oldest.giveWay();
      return true;
    }
    return false;
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

  /** Called by `AdmittedSocket` after hello. @throws AppError unavailable if there is no place */
  assignPlace({ key }: Address, user: UserId, socket: AdmittedSocket): void {
    if (this.#places.isFull) {
      const other = this.#places.givingWayTo(user, key);
      if (other === undefined) throw noPlace(this.#places.max);
      other.giveWay();
    }
    this.#places.add(user, key, socket);
  }

  left({ key }: Address, user: UserId, socket: AdmittedSocket): void {
    this.#places.leave(user, key, socket);
  }

  gaveWay(): void {
    this.#leaving++;
  }

  /** The connection is no stranger any more. */
  removeStranger(address: Address, socket: AdmittedSocket): void {
    if (!address.strangers.delete(socket)) return;
    this.#beforeHello--;
    if (address.strangers.size === 0) this.#strange.delete(address);
  }

  ended(address: Address, hasGivenWay: boolean): void {
    address.open--;
    this.#open--;
    if (hasGivenWay) this.#leaving--;
    if (address.open === 0 && this.#isForgiven(address)) this.#addresses.delete(address.key);
  }

  strike(struck: Address): void {
    // The address may have been forgotten with its last connection.
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

const nothing = (): void => {};

/** One connection, from the upgrade to its end. */
export class AdmittedSocket {
  readonly #admission: Admission;
  readonly #address: Address;
  readonly #client: KnownClient | undefined;
  #onGiveWay = nothing;
  /** The user whose place it has; undefined while it has none. */
  #user: UserId | undefined;
  #hasGivenWay = false;

  /** @param client undefined for a stranger */
  constructor(admission: Admission, address: Address, client: KnownClient | undefined) {
    this.#admission = admission;
    this.#address = address;
    this.#client = client;
    admission.opened(address, this, client === undefined);
  }

  /** @param onGiveWay ends the connection, to make room for another */
  onGiveWay(onGiveWay: () => void): void {
    this.#onGiveWay = onGiveWay;
  }

  /** Called by `Admission`. */
  giveWay(): void {
    this.#leave();
    this.#hasGivenWay = true;
    this.#admission.gaveWay();
    this.#onGiveWay();
  }

  /** @throws AppError unavailable if there is no place for the connection */
  saidHello(user: UserId): void {
    if (this.#user !== undefined || this.#hasGivenWay) return;
    this.#admission.assignPlace(this.#address, user, this);
    this.#admission.removeStranger(this.#address, this);
    this.#user = user;
  }

  #leave(): void {
    this.#admission.removeStranger(this.#address, this);
    if (this.#user !== undefined) this.#admission.left(this.#address, this.#user, this);
    this.#user = undefined;
  }

  /** The connection is closed for what it did. */
  misbehaved(): void {
    if (this.#client === undefined) this.#admission.strike(this.#address);
    else this.#client.struck();
  }

  ended(): void {
    this.#leave();
    this.#admission.ended(this.#address, this.#hasGivenWay);
  }
}

function noPlace(max: number): AppError {
  const detail = `${max} connections are open, and no user has more than you; come back in ${PLACE_RETRY_MS} ms`;
  return new AppError("unavailable", detail, { retryAfterMs: PLACE_RETRY_MS });
}

function full(code: "rate_limited" | "unavailable", what: string): AppError {
  return new AppError(code, `${what}, that is the most; come back in ${RETRY_MS} ms`, { retryAfterMs: RETRY_MS });
}
