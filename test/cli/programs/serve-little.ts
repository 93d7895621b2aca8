/** `parley serve` around the smallest node there is: it listens, and its drain takes TEST_DRAIN_MS. TEST_FAILS makes its start fail. */
import { CorruptionError, FormatError } from "../../../storage/errors.ts";
import { runCommandLine } from "../../../src/cli/commands.ts";
import { processSignals } from "../../../src/cli/process-signals.ts";
import { serveCommand, type RunningNode } from "../../../src/cli/serve.ts";
import type { ServeOptions } from "../../../src/cli/serve-options.ts";

const FAILURES: Record<string, Error> = {
  corrupt: new CorruptionError("log/1", "byte 17", "checksum differs"),
  format: new FormatError("log/1", 9, 1),
  full: Object.assign(new Error("no space left on device"), { code: "ENOSPC" }),
  bug: new TypeError("undefined is not a function"),
};

async function startNode(options: ServeOptions): Promise<RunningNode> {
  const failure = FAILURES[process.env["TEST_FAILS"] ?? ""];
  if (failure !== undefined) throw failure;
  const server = Bun.serve({ hostname: options.host, port: options.port, fetch: () => new Response("here") });
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const drain = async () => {
    console.log("draining");
    await Bun.sleep(Number(process.env["TEST_DRAIN_MS"] ?? 0));
    await server.stop();
    console.log("drained");
    resolve();
  };
  return { url: `http://${options.host}:${server.port}`, drain, closed };
}

const command = serveCommand({
  startNode,
  signals: processSignals,
});
const io = {
  stdout: (text: string) => void process.stdout.write(text),
  stderr: (text: string) => void process.stderr.write(text),
  env: process.env,
};
process.exit(await runCommandLine(process.argv.slice(2), [command], { version: "0", io }));
