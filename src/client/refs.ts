const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_CHARACTERS = 6;

/** Refs of one client instance: a random prefix and a rising counter. The server stores such refs at almost no cost. */
export class Refs {
  readonly #prefix: string;
  #count = 0;

  constructor(random: () => number) {
    let prefix = "";
    for (let i = 0; i < PREFIX_CHARACTERS; i++) prefix += ALPHABET.charAt(Math.floor(random() * ALPHABET.length));
    this.#prefix = prefix;
  }

  next(): string {
    return `${this.#prefix}-${++this.#count}`;
  }
}
