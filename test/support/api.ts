/** The HTTP side of a running server, as tests use it. */
import { expect } from "bun:test";
import { faultsSettled } from "./settled-faults.ts";
import type { Credentials, Group } from "../../src/protocol/http-shapes.ts";

// oxlint-disable-next-line typescript/no-explicit-any -- what came over the wire; each test says what it expects of it.
export type Answer = { status: number; body: any; headers: Headers };

export class Api {
  /** Changes when the server is started again on another port. */
  url: string;
  readonly apiKey: string;

  constructor(url: string, apiKey: string) {
    this.url = url;
    this.apiKey = apiKey;
  }

  async call(method: string, path: string, token?: string, body?: unknown, signal?: AbortSignal): Promise<Answer> {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return this.#fetch(method, path, headers, body, signal);
  }

  get(path: string, token: string): Promise<Answer> {
    return this.call("GET", path, token);
  }

  post(path: string, token: string, body: unknown): Promise<Answer> {
    return this.call("POST", path, token, body);
  }

  /** A user that is there afterwards, with a fresh device. */
  async user(user: string, device?: string): Promise<Credentials> {
    const keyed = { "x-api-key": this.apiKey };
    const made = await this.#fetch("POST", "/v1/users", keyed, { user });
    expect([200, 201]).toContain(made.status);
    const answer = await this.#fetch("POST", `/v1/users/${user}/token`, keyed, device === undefined ? {} : { device });
    expect(answer.status).toBe(201);
    return { ...answer.body, user };
  }

  /** As the operator. */
  keyed(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.#fetch(method, path, { "x-api-key": this.apiKey }, body);
  }

  async users(...names: string[]): Promise<Credentials[]> {
    return Promise.all(names.map((name) => this.user(name)));
  }

  async group(creator: Credentials, id: string, members: string[]): Promise<Group> {
    const answer = await this.post("/v1/groups", creator.token, { id, name: `the ${id}`, members });
    expect(answer.status).toBe(201);
    return answer.body;
  }

  /** The whole history of a conversation, page by page. */
  async history(
    who: Credentials,
    address: string,
  ): Promise<{ id: string; from: string; text: string; seq: number; ref?: string; deletedAt?: number }[]> {
    const messages = [];
    for (let after: number | undefined = 0; after !== undefined;) {
      const path = `/v1/conversations/${encodeURIComponent(address)}/messages?limit=200&after=${after}`;
      const { status, body }: Answer = await this.get(path, who.token);
      expect(status).toBe(200);
      messages.push(...body.messages);
      after = body.after;
    }
    return messages;
  }

  async #fetch(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<Answer> {
    if (method === "GET" || path === "/v1/sync") await faultsSettled();
    const request: RequestInit = { method, headers: { ...headers, connection: "close" } };
    if (body !== undefined) request.body = JSON.stringify(body);
    if (signal !== undefined) request.signal = signal;
    const response = await fetch(this.url + path, request);
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
  }
}
