/** The part of `parley erase-user` that sends the request to a running server and waits until it is done. */
import { systemClock } from "../base/clock.ts";
import type { ErasureStatus, Problem } from "../protocol/http-shapes.ts";
import { FatalError } from "./fatal-error.ts";
import type { Io } from "./io.ts";

export type AskedServer = { url: string; apiKey: string };
type Done = Extract<ErasureStatus, { state: "done" }>;

const CALL_MS = 30_000;
const LOOK_EVERY_MS = 250;
const SAY_EVERY_MS = 5000;
/** How long the server may be away: after a restart it continues by itself. */
const GONE_MS = 60_000;
const WAIT_MS = 3_600_000;

/** @throws FatalError failed */
export async function askServer(server: AskedServer, user: string, io: Io): Promise<Done> {
  const path = `/v1/users/${user}/erasure`;
  const startedAt = systemClock.monotonicMs();
  let status = await call(server, "POST", path);
  let saidAt = startedAt;
  let answeredAt = startedAt;
  while (status.state !== "done") {
    await new Promise<void>((resolve) => void systemClock.after(LOOK_EVERY_MS, resolve));
    const now = systemClock.monotonicMs();
    if (now - startedAt > WAIT_MS) throw unfinished("it takes longer than an hour");
    try {
      status = await call(server, "GET", path);
      answeredAt = now;
    } catch (error) {
      if (now - answeredAt > GONE_MS) throw unfinished((error as Error).message, error);
    }
    if (status.state === "running" && now - saidAt > SAY_EVERY_MS) {
      saidAt = now;
      io.stderr(`parley: ${status.entries} entries so far\n`);
    }
  }
  return status;
}

const unfinished = (why: string, cause?: unknown): FatalError =>
  new FatalError("failed", why, { hint: "the server has the request and goes on; ask again to see", cause });

async function call({ url, apiKey }: AskedServer, method: string, path: string): Promise<ErasureStatus> {
  let response: Response;
  try {
    response = await fetch(url + path, {
      method,
      headers: { "x-api-key": apiKey },
      signal: AbortSignal.timeout(CALL_MS),
    });
  } catch (error) {
    throw new FatalError("failed", `${url} cannot be reached`, { hint: "is this the server's URL?", cause: error });
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as ErasureStatus;
  const { code, detail } = (body ?? {}) as Partial<Problem>;
  throw new FatalError("failed", `${url} refused: ${detail ?? `status ${response.status}`}${code ? ` (${code})` : ""}`);
}
