/** The commands of docs/cluster.md, run as they stand there, with other ports; nodes are killed while shards move. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PlanFile, StepState } from "../../src/cli/cluster/plan-file.ts";
import { BUN, MAIN, personsEnvironment, ROOT, run, start, temporaryDirectory, type Started } from "../cli/processes.ts";
import { until } from "../support/wait.ts";

const place = temporaryDirectory();
/** By name, with the command that starts each. */
const nodes = new Map<string, { command: string; process: Started }>();
afterAll(async () => {
  await Promise.all([...nodes.keys()].map(kill));
  place.remove();
});

async function kill(name: string): Promise<void> {
  const { process } = nodes.get(name)!;
  process.kill("SIGKILL");
  await process.exited;
}

/** Moves that the test lets a plan have: all of the guide's would take it a minute. */
const MOVES = 6;

function commandsOfPage(): string[] {
  const page = readFileSync(join(ROOT, "docs/cluster.md"), "utf8");
  return [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block!.trim().split("\n"));
}

function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = server;
  void server.stop(true);
  return port!;
}

const ports = new Map(["8081", "8082", "8083", "8084"].map((port) => [port, String(freePort())]));
const onThisMachine = (command: string): string =>
  command
    .replace("npm run parley --", `${BUN} ${MAIN}`)
    .replace("npm start --", `exec ${BUN} ${MAIN} serve`)
    .replaceAll(/\b808[1-4]\b/g, (port) => ports.get(port)!);

async function startNode(command: string): Promise<void> {
  const node = start(["sh", "-c", command.replace(/ &$/, "")], { cwd: place.path, env: personsEnvironment() });
  nodes.set(/--node (\w+)/.exec(command)![1]!, { command, process: node });
  const port = /--port (\d+)/.exec(command)![1];
  await until(`the node at ${port} serves`, async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    return answer?.status === 200;
  });
}

/** Leaves a few steps of each node that gives some. */
function cutPlan(path: string): void {
  const plan = JSON.parse(readFileSync(path, "utf8")) as PlanFile;
  const byNode = Map.groupBy(plan.steps, ({ from }) => from);
  const steps = [...byNode.values()].flatMap((own) => own.slice(0, MOVES / byNode.size));
  writeFileSync(path, JSON.stringify({ ...plan, steps }));
}

/** Applies the plan while the target is killed with -9, and then a source, each once some shards have moved. */
async function applyUnderFire(line: string): Promise<void> {
  const apply = start(["sh", "-c", `${line} --at-once 1`], { cwd: place.path });
  for (const [moved, victim] of [
    [1, "n4"],
    [3, "n3"],
  ] as const) {
    await until(`${moved} shards have moved`, () => stepsOf("plan.json", "moved") >= moved);
    await kill(victim);
    await startNode(nodes.get(victim)!.command);
  }
  if ((await apply.exited) !== 0) throw new Error(`apply failed: ${apply.stderr()}`);
  expect(stepsOf("plan.json", "moved")).toBe(MOVES);
}

function stepsOf(name: string, state: StepState): number {
  const { steps } = JSON.parse(readFileSync(join(place.path, name), "utf8")) as PlanFile;
  return steps.filter((step) => step.state === state).length;
}

test("the commands of the guide set up three nodes, add a fourth and take it out", async () => {
  mkdirSync(join(place.path, "data"));
  const commands = commandsOfPage();
  expect(commands.length).toBeGreaterThan(12);
  let printed = "";
  for (const command of commands) {
    const line = onThisMachine(command);
    if (line.endsWith(" &")) {
      await startNode(line);
      continue;
    }
    if (command.includes("apply plan.json")) {
      await applyUnderFire(line);
      continue;
    }
    const { status, stdout, stderr } = await run(["sh", "-c", line], { cwd: place.path });
    if (status !== 0) throw new Error(`${command}: status ${status}\n${stdout}${stderr}`);
    printed += stdout;
    if (command.endsWith("-o plan.json")) {
      expect(stdout).toMatch(/plan\.json: 2\d\d shards/);
      cutPlan(join(place.path, "plan.json"));
    }
  }
  expect(printed).toContain(`${MOVES} of ${MOVES} shards of the plan served where they should be`);
  expect(printed).toContain("1000 served once, 0 by none, 0 by more than one");
  expect(printed).toContain("n4 can be stopped now");
  const map = JSON.parse(readFileSync(join(place.path, "map.json"), "utf8")) as { mapVersion: number; nodes: object };
  expect(map.mapVersion).toBe(5);
  expect(Object.keys(map.nodes)).toEqual(["n1", "n2", "n3"]);
}, 180_000);
