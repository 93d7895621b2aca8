/** The users of a run, in pairs that talk to each other. */
import type { ProgressBar } from "../src/cli/progress-bar.ts";
import type { LoadPair } from "./load.ts";
import type { ParleyProcess } from "./server-process.ts";

const PROVISIONING_MAX = 16;

/** The floor accepts any name as a token. */
export function floorPairs(count: number): LoadPair[] {
  return Array.from({ length: count }, (_, at) => ({
    first: { user: `a${at}`, token: `a${at}` },
    second: { user: `b${at}`, token: `b${at}` },
  }));
}

/** Makes users with an API key, so that no password is hashed. */
export async function provisionPairs(parley: ParleyProcess, count: number, progress: ProgressBar): Promise<LoadPair[]> {
  progress.phase("users", count * 2);
  const names = floorPairs(count).flatMap((pair) => [pair.first.user, pair.second.user]);
  const tokens = new Map<string, string>();
  const waiting = names.values();
  const worker = async () => {
    for (const user of waiting) {
      tokens.set(user, await provisionUser(parley, user));
      progress.advance();
    }
  };
  await Promise.all(Array.from({ length: PROVISIONING_MAX }, worker));
  const login = (user: string) => ({ user, token: tokens.get(user) ?? "" });
  return floorPairs(count).map((pair) => ({ first: login(pair.first.user), second: login(pair.second.user) }));
}

async function provisionUser(parley: ParleyProcess, user: string): Promise<string> {
  await post(parley, "/v1/users", { user });
  const { token } = (await post(parley, `/v1/users/${user}/token`, {})) as { token: string };
  return token;
}

async function post(parley: ParleyProcess, path: string, body: object): Promise<unknown> {
  const response = await fetch(new URL(path, parley.url), {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": parley.apiKey },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  return response.json();
}
