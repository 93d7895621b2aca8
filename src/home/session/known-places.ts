/**
 * Places for connections that have said who they are. When all are taken, somebody who has more gives one to the newcomer who has less:
 *
 *     1. the user with most connections, who still has as many as the newcomer's user then: their oldest one
 *     2. where no user has so many, the address with most, in the same way
 *
 * So many accounts with many connections each, or many accounts behind few addresses, keep nobody out. Places beside these, for connections that have
 * not said who they are, are kept free by src/edge/socket/admission.ts: without one nobody could say so.
 */
import type { UserId } from "../../domain/address.ts";
import { Shares } from "./shares.ts";

export class KnownPlaces<Socket> {
  readonly max: number;
  readonly #users = new Shares<UserId, Socket>();
  readonly #addresses = new Shares<string, Socket>();
  #taken = 0;

  constructor(max: number) {
    this.max = max;
  }

  get isFull(): boolean {
    return this.#taken >= this.max;
  }

  /** Who gives way to another connection of that user from that address; undefined when nobody has to. */
  whoGivesWay(user: UserId, address: string): Socket | undefined {
    const ofUser = this.#users.oldestOfMost(this.#users.countOf(user) + 1);
    return ofUser ?? this.#addresses.oldestOfMost(this.#addresses.countOf(address) + 1);
  }

  take(user: UserId, address: string, socket: Socket): void {
    this.#taken++;
    this.#users.add(user, socket);
    this.#addresses.add(address, socket);
  }

  leave(user: UserId, address: string, socket: Socket): void {
    this.#taken--;
    this.#users.remove(user, socket);
    this.#addresses.remove(address, socket);
  }
}
