/** The operator's end of admin calls: signs each with a nonce of the node that it goes to. */
import { authorizationOf } from "./admin-auth.ts";

const TIMEOUT_MS = 10_000;

/** The node answered that it will not, or did not answer. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  /** Undefined if the node did not answer. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

export class AdminClient {
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** @param url of the node. @throws AdminError */
  async call<Answer>(url: string, method: "GET" | "POST", path: string, content?: unknown): Promise<Answer> {
    const full = `/cluster/v1/${path}`;
    const body = content === undefined ? "" : typeof content === "string" ? content : JSON.stringify(content);
    const { nonce } = await this.#fetch<{ nonce: string }>(`${url}/cluster/v1/challenge`, { method: "GET" });
    const authorization = authorizationOf(this.#secret, nonce, { method, path: full, body });
    const init: RequestInit = { method, headers: { authorization } };
    if (body !== "") init.body = body;
    return this.#fetch<Answer>(url + full, init);
  }

  async #fetch<Answer>(url: string, init: RequestInit): Promise<Answer> {
    let response: Response;
    try {
      response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    } catch (cause) {
      throw new AdminError(`${new URL(url).origin} does not answer`, undefined, cause);
    }
    const text = await response.text();
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new AdminError(`${new URL(url).origin} answered no JSON; is it a node of a cluster?`, response.status);
    }
    if (response.ok) return answer as Answer;
    const { detail } = answer as { detail?: string };
    throw new AdminError(detail ?? `status ${response.status}`, response.status);
  }
}
