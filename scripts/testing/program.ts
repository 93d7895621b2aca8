/** `output` is stdout and stderr together, in the order they came. `isKilled`: it had not ended by its timeout. */
export type Outcome = { status: number; output: string; stderr: string; ms: number; isKilled: boolean };

/** How long to wait for the output of an ended program: a process that it started may still hold it open. */
const OUTPUT_GRACE_MS = 2000;

/** Runs a program to its end, or kills it at `timeoutMs`; resolves with what it printed on both outputs. */
export async function runProgram(
  cwd: string,
  command: string[],
  { env = {}, timeoutMs }: { env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<Outcome> {
  const startedAt = performance.now();
  const child = Bun.spawn(command, {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: "SIGKILL" }),
  });
  const chunks: string[] = [];
  const errors: string[] = [];
  const reading = Promise.all([collect(child.stdout, [chunks]), collect(child.stderr, [chunks, errors])]);
  await child.exited;
  await Promise.race([reading, Bun.sleep(OUTPUT_GRACE_MS)]);
  const ms = performance.now() - startedAt;
  const isKilled = timeoutMs !== undefined && ms >= timeoutMs && child.signalCode === "SIGKILL";
  return { status: child.exitCode ?? 128, output: chunks.join(""), stderr: errors.join(""), ms, isKilled };
}

async function collect(stream: ReadableStream<Uint8Array>, into: string[][]): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const text = decoder.decode(bytes, { stream: true });
    for (const chunks of into) chunks.push(text);
  }
}
