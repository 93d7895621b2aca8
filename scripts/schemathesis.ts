/**
 * `npm run schemathesis`: tests the promises of the OpenAPI document against its own server, with a program that knows
 * only that document.
 */
import { makePerson } from "./flood/people.ts";
import { startParleyProcess } from "../bench/servers/server-process.ts";
import { helpText } from "../src/cli/help-text.ts";

const SECONDS = 120;

const help = (): string =>
  helpText(
    ["npm run schemathesis [-- MORE OPTIONS OF SCHEMATHESIS]"],
    [
      "Starts a server and lets schemathesis (from PyPI: pip install schemathesis) make thousands of valid and " +
        `invalid requests from GET /openapi.json, for about ${SECONDS} seconds. POST /v1/sync waits, so it is left ` +
        "out. Exit status: that of schemathesis, 0 when it found nothing; 2 when it is not installed.",
    ],
    process.stdout.columns,
  );

async function main(more: string[]): Promise<number> {
  if (more.includes("--help")) {
    process.stdout.write(help());
    return 0;
  }
  const program = Bun.which("schemathesis") ?? Bun.which("st");
  if (program === null) {
    process.stderr.write("schemathesis: not installed; pip install schemathesis, and let it be on PATH\n");
    return 2;
  }
  const server = await startParleyProcess(["--log-level", "error", "--argon2-memory-kb", "64"]);
  try {
    const { token } = await makePerson(server.url, server.apiKey, "ann");
    const headers = ["-H", `Authorization: Bearer ${token}`, "-H", `X-Api-Key: ${server.apiKey}`];
    const limits = ["--max-time", String(SECONDS), "-n", "30", "--exclude-operation-id", "sync"];
    const phases = ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--warnings", "off"];
    const run = ["run", new URL("/openapi.json", server.url).href, ...headers, ...phases, ...limits, ...more];
    return await Bun.spawn([program, ...run], { stdin: "ignore", stdout: "inherit", stderr: "inherit" }).exited;
  } finally {
    await server.end();
  }
}

process.exit(await main(process.argv.slice(2)));
