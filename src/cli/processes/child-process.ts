/** Starts a process of `parley serve --processes`, and passes on what it writes. */
import type { Running } from "./supervisor.ts";
import { EXIT_STATUS, FatalError, type ExitReason } from "../fatal-error.ts";

const READY = "parley listening on ";
const NEWLINE = 10;

/**
 * @param name is added to the lines of its log, which are JSON
 * @param write gets whole lines
 */
export function childProcess(
  name: string,
  command: readonly string[],
  env: Record<string, string | undefined>,
  write: (text: string) => void,
): Running {
  const child = Bun.spawn([...command], { env, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const told = Promise.all([
    lines(child.stdout, (line) => void (line.startsWith(READY) && resolve())),
    lines(child.stderr, (line) => write(`${named(line, name)}\n`)),
  ]);
  const ended = child.exited.then(async (status) => {
    await told;
    const how = child.signalCode === null ? `with status ${status}` : `by ${child.signalCode}`;
    reject(new FatalError(reasonOf(status), `process ${name} ended ${how} while it started`));
    return how;
  });
  return {
    ready,
    ended,
    stop: () => void child.stdin.end(),
    kill: () => child.kill("SIGKILL"),
  };
}

/** So that this server ends with the same status. */
function reasonOf(status: number): ExitReason {
  const known = Object.entries(EXIT_STATUS).find(([reason, one]) => one === status && reason !== "ok");
  return (known?.[0] as ExitReason | undefined) ?? "failed";
}

const named = (line: string, name: string): string =>
  line.startsWith("{") ? `{"process":"${name}",${line.slice(1)}` : `${name}: ${line}`;

async function lines(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const bytes of stream) {
    rest = rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([rest, bytes]);
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      take(rest.toString("utf8", 0, end));
      rest = rest.subarray(end + 1);
    }
  }
  if (rest.length > 0) take(rest.toString());
}
