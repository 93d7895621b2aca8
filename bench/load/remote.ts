/**
 * Calls into a process of its own, so that a load shares no event loop with the suite. The child serves functions; the
 * parent calls them by name. Arguments and results are plain data.
 */
import { withTimeout } from "../servers/server-process.ts";

/** How much longer than its own time a call may take: connecting, draining. */
const SLACK_MS = 60_000;

// oxlint-disable-next-line typescript/no-explicit-any -- each call has its own argument
export type Calls = Record<string, (argument: any) => unknown>;
type Call = { id: number; name: string; argument: unknown };
type Reply = { id: number; result?: unknown; reason?: string };

export type Remote<C extends Calls> = {
  /** @param ms how long the call itself takes; it may take a minute longer */
  call<Name extends keyof C & string>(
    name: Name,
    argument: Parameters<C[Name]>[0],
    ms?: number,
  ): Promise<Awaited<ReturnType<C[Name]>>>;
  end(): Promise<void>;
};

/** @param label names it in errors */
export function startRemote<C extends Calls>(label: string, file: string): Remote<C> {
  const waiting = new Map<number, (reply: Reply) => void>();
  let lastId = 0;
  const failAll = (reason: string): void => {
    for (const [id, settle] of waiting) settle({ id, reason });
    waiting.clear();
  };
  const child = Bun.spawn([process.execPath, file], {
    stdio: ["ignore", "inherit", "inherit"],
    serialization: "json",
    ipc(reply: Reply) {
      waiting.get(reply.id)?.(reply);
      waiting.delete(reply.id);
    },
    onExit: (_, status) => failAll(`the process ended with status ${status}`),
  });
  return {
    async call(name, argument, ms = 0) {
      const id = ++lastId;
      const replied = new Promise<Reply>((resolve) => waiting.set(id, resolve));
      child.send({ id, name, argument } satisfies Call);
      const reply = await withTimeout(replied, ms + SLACK_MS, `${label}: no answer to ${name}`);
      if (reply.reason !== undefined) throw new Error(`${label}: ${reply.reason}`);
      return reply.result as never;
    },
    async end() {
      failAll("ended");
      child.kill();
      await child.exited;
    },
  };
}

/** In the child. It ends with its parent. */
export function serveCalls(calls: Calls): void {
  process.on("message", ({ id, name, argument }: Call) => {
    const reply = (settled: Omit<Reply, "id">): void => void process.send?.({ id, ...settled } satisfies Reply);
    Promise.resolve()
      .then(() => calls[name]!(argument))
      .then(
        (result) => reply({ result }),
        (error: Error) => reply({ reason: error.message }),
      );
  });
  process.on("disconnect", () => process.exit(0));
}
