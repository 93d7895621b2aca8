/** Logins with a password: nearly all of the cost is the hash. */
import { processCpuMs } from "../measure/process-cpu.ts";
import { rounded } from "../measure/meter.ts";
import type { ServerProcess } from "../servers/server-process.ts";

export type PasswordFigures = { cpuMsEach: number; perSecond: number };

const AT_ONCE = 4;
const PASSWORD = "correct horse battery";

export async function passwordLogins({ url, pid }: ServerProcess, count: number): Promise<PasswordFigures> {
  const users = Array.from({ length: AT_ONCE }, (_, at) => `p${at}`);
  for (const user of users) await post(new URL("/v1/register", url), user);
  const [from, cpuBefore] = [performance.now(), processCpuMs(pid)];
  let asked = 0;
  const worker = async (user: string) => {
    while (asked++ < count) await post(new URL("/v1/login", url), user);
  };
  await Promise.all(users.map(worker));
  return {
    cpuMsEach: rounded((processCpuMs(pid) - cpuBefore) / count, 2),
    perSecond: rounded((count * 1000) / (performance.now() - from), 1),
  };
}

async function post(url: URL, user: string): Promise<void> {
  const body = JSON.stringify({ user, password: PASSWORD });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  if (!response.ok) throw new Error(`${url.pathname}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  await response.arrayBuffer();
}
