/**
 * The cost of a restart for active users: the rate of the closed loop right before, then the end of the process, a start on the same
 * data, all users reconnect and continue with the next refs, and the rate of the same loop right after.
 */
import type { ProgressBar } from "../../src/cli/progress-bar.ts";
import { restartOf, type Restart } from "./e2e-result.ts";
import type { LoadProcess } from "../load/load-process.ts";
import type { ParleyProcess } from "../servers/server-process.ts";

export async function measureRestarts(
  parley: ParleyProcess,
  load: LoadProcess,
  options: { restarts: number; windowPerUser: number; warmUpMs: number; measureMs: number },
  progress: ProgressBar,
  signal: NodeJS.Signals = "SIGTERM",
): Promise<Restart[]> {
  progress.phase(`restarts, ${signal}`, options.restarts);
  const restarts: Restart[] = [];
  for (let at = 0; at < options.restarts; at++) {
    const before = await load.closed(options);
    await load.leave();
    const secondsAway = await parley.restart(signal);
    await load.returnTo(parley);
    const restart = restartOf(before, await load.closed(options), secondsAway);
    restarts.push(restart);
    progress.set(at + 1, `${restart.ratio.toFixed(2)} of the rate before`);
  }
  return restarts;
}
