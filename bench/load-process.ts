/** The load seen from the suite: a process that answers one command at a time. */
import { join } from "node:path";
import type { LoadCommand, LoadFigures, LoadPair, LoadReply, LoadTarget } from "./load.ts";
import { withTimeout, type ServerProcess } from "./server-process.ts";

/** How much longer a phase may take: connecting, waiting for enough messages, draining. */
const SLACK_MS = 45_000;

export type LoadProcess = {
  closed(options: { windowPerUser: number; warmUpMs: number; measureMs: number }): Promise<LoadFigures>;
  open(options: { ratePerSecond: number; warmUpMs: number; measureMs: number }): Promise<LoadFigures>;
  /** All users close their sockets. */
  leave(): Promise<void>;
  /** All users connect again and continue where they were. */
  returnTo(server: ServerProcess): Promise<void>;
  end(): Promise<void>;
};

export async function startLoad(
  name: string,
  server: ServerProcess,
  pairs: LoadPair[],
  lines: string[],
): Promise<LoadProcess> {
  let answered: ((reply: LoadReply) => void) | undefined;
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "load.ts")], {
    stdio: ["ignore", "inherit", "inherit"],
    serialization: "json",
    ipc: (reply: LoadReply) => answered?.(reply),
    onExit: (_, status) => answered?.({ is: "failed", reason: `the load process ended with status ${status}` }),
  });
  const ask = async (command: LoadCommand, ms: number): Promise<LoadReply> => {
    const reply = new Promise<LoadReply>((resolve) => (answered = resolve));
    child.send(command);
    const answer = await withTimeout(reply, ms + SLACK_MS, `load on ${name}: no answer to ${command.do}`);
    if (answer.is === "failed") throw new Error(`load on ${name}: ${answer.reason}`);
    return answer;
  };
  const figures = async (command: Extract<LoadCommand, { warmUpMs: number }>): Promise<LoadFigures> => {
    const answer = await ask(command, command.warmUpMs + command.measureMs);
    if (answer.is !== "figures") throw new Error(`load on ${name}: answered ${answer.is} to ${command.do}`);
    return answer.figures;
  };
  const end = async () => {
    answered?.({ is: "failed", reason: "ended" });
    answered = undefined;
    child.kill();
    await child.exited;
  };
  try {
    await ask({ do: "connect", ...targetOf(server), pairs, lines }, 0);
  } catch (error) {
    await end();
    throw error;
  }
  return {
    closed: (options) => figures({ do: "closed", ...options }),
    open: (options) => figures({ do: "open", ...options }),
    leave: async () => void (await ask({ do: "leave" }, 0)),
    returnTo: async (restarted) => void (await ask({ do: "return", ...targetOf(restarted) }, 0)),
    end,
  };
}

const targetOf = ({ url, pid }: ServerProcess): LoadTarget => ({
  hostname: url.hostname,
  port: Number(url.port),
  serverPid: pid,
});
