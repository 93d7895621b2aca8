import { browserClock, type ClientClock } from "./clock.ts";
import { ParleyError, errorCodeOf, isTransient } from "./errors.ts";

export type Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal?: AbortSignal },
) => Promise<Response>;

/** The server to call, and the credentials. `apiKey` is for operators. */
export type Server = { url: string; token?: string; apiKey?: string; fetch?: Fetch; signal?: AbortSignal };

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Makes one call. Every error is a ParleyError; if the network fails, it is `unavailable` with status 0. */
export async function call<T>(server: Server, method: Method, path: string, body?: unknown): Promise<T> {
  const response = await send(server, method, path, body);
  const text = await response.text().catch((cause: unknown) => {
    throw new ParleyError("unavailable", `${method} ${path}: the answer broke off`, { cause });
  });
  if (!response.ok) throw problemOf(response, text);
  return (text === "" ? undefined : parse(text, method, path)) as T;
}

/**
 * Repeats `request` while the server asks to wait, up to `attempts` times. Only for calls that may be repeated. Other
 * refusals are thrown at once.
 */
export async function withRetries<T>(
  request: () => Promise<T>,
  options: { attempts?: number; clock?: ClientClock; waitMsDefault?: number } = {},
): Promise<T> {
  const clock = options.clock ?? browserClock;
  for (let left = options.attempts ?? 5; ; left--) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof ParleyError) || !isTransient(error.code) || left <= 1) throw error;
      const waitMs = error.retryAfterMs ?? options.waitMsDefault ?? 1000;
      await new Promise<void>((resolve) => clock.after(waitMs, resolve));
    }
  }
}

async function send(server: Server, method: Method, path: string, body: unknown): Promise<Response> {
  const headers: Record<string, string> = {};
  if (server.token !== undefined) headers["authorization"] = `Bearer ${server.token}`;
  if (server.apiKey !== undefined) headers["x-api-key"] = server.apiKey;
  if (body !== undefined) headers["content-type"] = "application/json";
  const fetch: Fetch = server.fetch ?? ((url, init) => globalThis.fetch(url, init));
  try {
    return await fetch(`${server.url.replace(/\/+$/, "")}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(server.signal === undefined ? {} : { signal: server.signal }),
    });
  } catch (cause) {
    throw new ParleyError("unavailable", `${method} ${path}: no answer from ${server.url}`, { cause });
  }
}

function parse(text: string, method: Method, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ParleyError("internal", `${method} ${path}: the answer is not JSON`, { cause });
  }
}

/** Also handles answers that are not problem documents, such as a proxy's 502 page. */
function problemOf(response: Response, text: string): ParleyError {
  const problem = problemFields(text);
  const status = response.status;
  const code = typeof problem.code === "string" ? errorCodeOf(problem.code) : codeOfStatus(status);
  const detail = typeof problem.detail === "string" ? problem.detail : `the server answered ${status}`;
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterMs =
    typeof problem.retryAfterMs === "number" ? problem.retryAfterMs : seconds >= 0 ? seconds * 1000 : undefined;
  return new ParleyError(code, detail, { status, retryAfterMs });
}

function problemFields(text: string): { code?: unknown; detail?: unknown; retryAfterMs?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

function codeOfStatus(status: number) {
  if (status === 401) return "unauthorized";
  if (status === 404) return "not_found";
  if (status === 429) return "rate_limited";
  if (status === 502 || status === 503 || status === 504) return "unavailable";
  return status < 500 ? "bad_request" : "internal";
}
