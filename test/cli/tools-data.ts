/** Data directories as the real server leaves them, for the tests of the tools. */
import { TestProcess } from "../support/test-process.ts";
import { temporaryDirectory } from "./processes.ts";

export type MadeData = {
  /** After a clean stop. */
  path: string;
  /** The same server killed a moment before, with messages in the log that no segment has. */
  killed: string;
  remove: () => void;
};

/** With the times of its files to the nanosecond, as backups keep them. */
export function copyDirectory(from: string, to: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["cp", "-a", from, to]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

const TEXTS = ["good morning", "did you sleep well?", "Ωmega, ünïcode ✓", "x".repeat(2500)];

/** Three people, a group, two clean stops and one kill; enough that the group has files of its own, with segments, and little enough that the people have none. */
export async function makeData(): Promise<MadeData> {
  const place = temporaryDirectory();
  const server = await TestProcess.start("--log-level", "error", "--send-burst", "10000", "--send-rate", "10000");
  try {
    const [ann, bob, cem] = await server.api.users("ann", "bob", "cem");
    await server.api.group(ann!, "team", ["bob", "cem"]);
    await talk(server, ann!, 700);
    await server.stop();
    await server.start();
    await talk(server, bob!, 20);
    // Another frame: what stands before it is known to have been durable.
    await talk(server, cem!, 1);
    await server.kill();
    copyDirectory(server.dataDirectory, `${place.path}/killed`);
    await server.start();
    await talk(server, cem!, 5);
    await server.stop();
    copyDirectory(server.dataDirectory, `${place.path}/clean`);
  } finally {
    await server.remove();
  }
  return { path: `${place.path}/clean`, killed: `${place.path}/killed`, remove: place.remove };
}

/** What is said in a round. */
export const textOf = (round: number): string => `${TEXTS[round % TEXTS.length]} ${round}`;

async function talk(server: TestProcess, who: { token: string; user: string }, rounds: number): Promise<void> {
  const device = await server.connect(who);
  const refs: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const to = ["@ann", "@bob", "#team"].filter((address) => address !== `@${who.user}`)[round % 2]!;
    refs.push(device.post(to, textOf(round)));
  }
  for (const ref of refs) await device.answerTo(ref);
  await device.close();
}
