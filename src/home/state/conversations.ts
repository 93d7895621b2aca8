/**
 * The conversations of one user by address, in the order in which they came. Few are searched one by one: a map of one
 * takes 300 bytes, nearly as much as the conversation.
 */
import type { Address } from "../../domain/address.ts";
import type { ConversationState } from "./conversation-state.ts";

/** Above this number there is a map as well. */
export const SEARCHED_MAX = 8;

export class Conversations {
  readonly #list: ConversationState[] = [];
  #byAddress: Map<Address, ConversationState> | undefined;

  get size(): number {
    return this.#list.length;
  }

  get(address: Address): ConversationState | undefined {
    if (this.#byAddress !== undefined) return this.#byAddress.get(address);
    for (const conversation of this.#list) if (conversation.address === address) return conversation;
    return undefined;
  }

  has(address: Address): boolean {
    return this.get(address) !== undefined;
  }

  /** Adds a conversation whose address is not here yet. */
  add(conversation: ConversationState): void {
    this.#list.push(conversation);
    if (this.#byAddress !== undefined) this.#byAddress.set(conversation.address, conversation);
    else if (this.#list.length > SEARCHED_MAX)
      this.#byAddress = new Map(this.#list.map((one) => [one.address, one] as const));
  }

  values(): Iterable<ConversationState> {
    return this.#list;
  }

  *keys(): Iterable<Address> {
    for (const { address } of this.#list) yield address;
  }
}
