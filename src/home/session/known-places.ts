/**
 * Places for connections that have said hello. When all are taken, a newcomer gets the place of a connection of:
 *
 *     1. the user with the most connections, if that user then still has as many as the newcomer's user: the oldest one
 *     2. if there is no such user, the address with the most, by the same rule
 *
 * So neither a user with many connections nor many users behind few addresses keep others out. Places for connections
 * that have not said hello are separate (src/edge/socket/admission.ts): without one nobody could say hello.
 */
import type { UserId } from "../../domain/address.ts";
import { Shares } from "./shares.ts";

export class KnownPlaces<Socket extends object | string> {
  readonly max: number;
  readonly #users = new Shares<UserId, Socket>();
  readonly #addresses = new Shares<string, Socket>();
  #used = 0;

  constructor(max: number) {
    this.max = max;
  }

  get isFull(): boolean {
    return this.#used >= this.max;
  }

  /** The connection that gives way to a newcomer; undefined if none has to. */
  givingWayTo(user: UserId, address: string): Socket | undefined {
    const ofUser = this.#users.oldestOfMost(this.#users.countOf(user) + 1);
    return ofUser ?? this.#addresses.oldestOfMost(this.#addresses.countOf(address) + 1);
  }

  add(user: UserId, address: string, socket: Socket): void {
    this.#used++;
    this.#users.add(user, socket);
    this.#addresses.add(address, socket);
  }

  leave(user: UserId, address: string, socket: Socket): void {
    this.#used--;
    this.#users.remove(user, socket);
    this.#addresses.remove(address, socket);
  }
}
