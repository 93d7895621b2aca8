/** The load of direct messages, as a suite sees it: users who are connected to one server. */
import { join } from "node:path";
import type { ServerProcess } from "../servers/server-process.ts";
import type { ClosedLoop, LoadCalls, LoadFigures, LoadPair, LoadTarget, OpenLoop } from "./load.ts";
import { startRemote } from "./remote.ts";
import type { Protocol } from "./talkers.ts";

type TargetServer = ServerProcess & { protocol?: Protocol };

export type LoadProcess = {
  closed(options: ClosedLoop): Promise<LoadFigures>;
  open(options: OpenLoop): Promise<LoadFigures>;
  /** How many messages all users have sent since they connected first. */
  sent(): Promise<number>;
  /** All users close their sockets. */
  leave(): Promise<void>;
  /** All users connect again and continue where they were. */
  returnTo(server: ServerProcess): Promise<void>;
  end(): Promise<void>;
};

export async function startLoad(
  name: string,
  server: TargetServer,
  pairs: LoadPair[],
  lines: string[],
): Promise<LoadProcess> {
  const load = startRemote<LoadCalls>(`load on ${name}`, join(import.meta.dir, "load.ts"));
  try {
    await load.call("connect", { ...targetOf(server), pairs, lines });
  } catch (error) {
    await load.end();
    throw error;
  }
  return {
    // Options may have more in them than the load wants, such as functions.
    closed: ({ windowPerUser, users, warmUpMs, measureMs }) => {
      const loop = { windowPerUser, warmUpMs, measureMs, ...(users !== undefined && { users }) };
      return load.call("closed", loop, warmUpMs + measureMs);
    },
    open: ({ ratePerSecond, warmUpMs, measureMs }) =>
      load.call("open", { ratePerSecond, warmUpMs, measureMs }, warmUpMs + measureMs),
    sent: () => load.call("sent", {}),
    leave: () => load.call("leave", {}),
    returnTo: (restarted) => load.call("goTo", targetOf(restarted)),
    end: load.end,
  };
}

export const targetOf = ({ url, pid, protocol }: TargetServer): LoadTarget => ({
  hostname: url.hostname,
  port: Number(url.port),
  serverPid: pid,
  ...(protocol !== undefined && { protocol }),
});
