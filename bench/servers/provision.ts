/** The users of a run, and their groups. */
import type { ProgressBar } from "../../src/cli/progress-bar.ts";
import type { LoadPair } from "../load/load.ts";
import type { ParleyProcess } from "./server-process.ts";

export type Login = { user: string; token: string };

const PROVISIONING_MAX = 16;
const CALL_MS_MAX = 60_000;

/** The floor accepts any name as a token. */
export function floorPairs(count: number): LoadPair[] {
  return Array.from({ length: count }, (_, at) => ({ first: floorLogin(`a${at}`), second: floorLogin(`b${at}`) }));
}

export const floorLogin = (user: string): Login => ({ user, token: user });

/** Pairs of users who talk to each other. */
export async function provisionPairs(parley: ParleyProcess, count: number, progress: ProgressBar): Promise<LoadPair[]> {
  const names = floorPairs(count).flatMap(({ first, second }) => [first.user, second.user]);
  const logins = await provisionUsers(parley, names, progress);
  return Array.from({ length: count }, (_, at) => ({ first: logins[2 * at]!, second: logins[2 * at + 1]! }));
}

/** Makes users with an API key, so that no password is hashed. */
export async function provisionUsers(
  parley: ParleyProcess,
  names: readonly string[],
  progress: ProgressBar,
): Promise<Login[]> {
  progress.phase("users", names.length);
  const logins: Login[] = [];
  const waiting = names.entries();
  const worker = async () => {
    for (const [at, user] of waiting) {
      logins[at] = await provisionUser(parley, user);
      progress.advance();
    }
  };
  await Promise.all(Array.from({ length: PROVISIONING_MAX }, worker));
  return logins;
}

/** The first member makes it and is its admin. */
export async function provisionGroup(parley: ParleyProcess, id: string, members: readonly Login[]): Promise<void> {
  const [creator, ...others] = members;
  const headers = { authorization: `Bearer ${creator!.token}` };
  await post(parley, "/v1/groups", { id, name: id, members: others.map(({ user }) => user) }, headers);
}

async function provisionUser(parley: ParleyProcess, user: string): Promise<Login> {
  const headers = { "x-api-key": parley.apiKey };
  await post(parley, "/v1/users", { user }, headers);
  const { token } = (await post(parley, `/v1/users/${user}/token`, {}, headers)) as { token: string };
  return { user, token };
}

async function post(
  parley: ParleyProcess,
  path: string,
  body: object,
  headers: Record<string, string>,
): Promise<unknown> {
  const response = await fetch(new URL(path, parley.url), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_MS_MAX),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  return response.json();
}
