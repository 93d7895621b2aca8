import { spawn } from "node:child_process";
import { constants } from "node:os";

const FORWARDED = ["SIGTERM", "SIGINT", "SIGHUP"];

export const statusOfSignal = (name) => 128 + constants.signals[name];

/**
 * Runs a program. Resolves when it has ended, with its exit status (128 + the signal's number if a signal ended it),
 * the signal that this process got meanwhile, and its output if `stdio` is not "inherit". Signals to this process are
 * forwarded, and `stop` becomes SIGTERM. A terminal's Ctrl-C reaches the program twice, from the terminal and from
 * here; `parley serve` treats repeats within a second as one.
 */
export function runChild(file, args, { stop, stdio = "inherit", ...options }) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio, ...options });
    const result = { status: 0, sent: undefined, output: "" };
    const send = (name) => {
      result.sent = name;
      child.kill(name);
    };
    const onStop = () => send("SIGTERM");
    for (const name of FORWARDED) process.on(name, send);
    stop.addEventListener("abort", onStop);
    if (stop.aborted) onStop();
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (result.output += chunk));
    const settle = (how) => {
      for (const name of FORWARDED) process.off(name, send);
      stop.removeEventListener("abort", onStop);
      how();
    };
    child.once("error", (error) => settle(() => reject(error)));
    child.once("close", (status, signal) =>
      settle(() => resolve({ ...result, status: status ?? statusOfSignal(signal) })),
    );
  });
}
