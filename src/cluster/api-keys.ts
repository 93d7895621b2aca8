/**
 * API keys in a cluster. A key is made at one node, and works at all: a node that does not know a key asks the others.
 * Their answers are remembered for some seconds, so a revoked key works that much longer elsewhere.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import type { ApiKeys } from "../home/services.ts";
import type { Control } from "./control.ts";
import type { Link } from "./link/link.ts";

const ASK_MS = 2000;
const REMEMBERED_MS = 5000;
const REMEMBERED_MAX = 1000;
/** Strangers may guess keys: so many questions a second, and no more. */
const ASKS_PER_SECOND = 20;

export type ClusterApiKeysParts = {
  readonly local: ApiKeys;
  /** Id and hash of a key, by its form alone; undefined if it is none. */
  partsOf(key: string): { id: string; hash: string } | undefined;
  links(): Iterable<Link>;
  send(link: Link, control: Control): void;
  readonly clock: Clock;
};

type Asked = { open: number; resolve(isValid: boolean): void };

export class ClusterApiKeys implements ApiKeys {
  readonly #parts: ClusterApiKeysParts;
  /** Until when a key of another node is valid, monotonic; by id and hash. */
  readonly #known = new Map<string, number>();
  readonly #asked = new Map<number, Asked>();
  #lastAsk = 0;
  #secondAt = 0;
  #asksInSecond = 0;

  constructor(parts: ClusterApiKeysParts) {
    this.#parts = parts;
  }

  async authenticate(key: string): Promise<{ keyId: string }> {
    try {
      return await this.#parts.local.authenticate(key);
    } catch (error) {
      const parts = this.#parts.partsOf(key);
      if (!(error instanceof AppError) || error.code !== "unauthorized" || parts === undefined) throw error;
      if (await this.#isOfAnother(parts)) return { keyId: parts.id };
      throw error;
    }
  }

  answered({ ask, isValid }: Extract<Control, { t: "apiKeyIs" }>): void {
    const asked = this.#asked.get(ask);
    if (asked === undefined) return;
    asked.open--;
    if (isValid || asked.open === 0) asked.resolve(isValid);
  }

  async #isOfAnother({ id, hash }: { id: string; hash: string }): Promise<boolean> {
    const now = this.#parts.clock.monotonicMs();
    const name = `${id}/${hash}`;
    if ((this.#known.get(name) ?? 0) > now) return true;
    this.#known.delete(name);
    if (!this.#mayAsk(now) || !(await this.#ask(id, hash))) return false;
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
    this.#known.set(name, now + REMEMBERED_MS);
    return true;
  }

  #mayAsk(now: number): boolean {
    if (now - this.#secondAt >= 1000) {
      this.#secondAt = now;
      this.#asksInSecond = 0;
    }
    return ++this.#asksInSecond <= ASKS_PER_SECOND;
  }

  async #ask(key: string, hash: string): Promise<boolean> {
    const links = [...this.#parts.links()];
    if (links.length === 0) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const ask = ++this.#lastAsk;
    this.#asked.set(ask, { open: links.length, resolve });
    const cancel = this.#parts.clock.after(ASK_MS, () => resolve(false));
    for (const link of links) this.#parts.send(link, { t: "apiKey", ask, key, hash });
    try {
      return await promise;
    } finally {
      cancel();
      this.#asked.delete(ask);
    }
  }
}
