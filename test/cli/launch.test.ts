/** The commands of the README in a fresh copy of this repository: nothing is installed there, and no Bun is on the way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { BUN, isAlive, personsEnvironment, ROOT, run, start, temporaryDirectory, type Started } from "./processes.ts";
import { until } from "../support/wait.ts";

const COPIED = [
  "package.json",
  "package-lock.json",
  ".npmrc",
  "bunfig.toml",
  "tsconfig.json",
  "docs",
  "scripts",
  "src",
  "storage",
];
const VERSION = `parley ${(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version}\n`;
const INSTALL_TIMEOUT_MS = 180_000;

const READY = /^parley listening on (http:\/\/127\.0\.0\.1:\d+)$/m;

/** What `npm run wait` runs in the copies: says who it is, and leaves word when it was asked to end. */
const WAITER = `
  import { writeFileSync } from "node:fs";
  process.on("SIGTERM", () => { writeFileSync("asked-to-end", ""); setTimeout(() => process.exit(7), 300); });
  setInterval(() => {}, 60_000);
  console.log("waiting " + process.pid + " " + process.argv.slice(2).join(" "));
`;

const temporary = temporaryDirectory();
const started: Started[] = [];
afterAll(async () => {
  for (const { pid, kill, exited } of started) {
    if (isAlive(pid)) kill("SIGKILL");
    await exited;
  }
  temporary.remove();
});

function freshCopy(name: string): string {
  const folder = join(temporary.path, name);
  mkdirSync(folder);
  for (const entry of COPIED) cpSync(join(ROOT, entry), join(folder, entry), { recursive: true });
  writeFileSync(join(folder, "wait.ts"), WAITER);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  manifest.scripts["wait"] = "exec node scripts/launch.mjs --script wait.ts";
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  return folder;
}

/** The folders that have no Bun; and what npm's own folder of the running tests would add is left out. */
const pathWithoutBun = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules") && !existsSync(join(folder, "bun")))
  .join(delimiter);

/** A folder with Bun and a shell: all that a machine has which knows no Node. */
function pathWithBunAlone(): string {
  const folder = join(temporary.path, "bin");
  if (!existsSync(folder)) {
    mkdirSync(folder);
    symlinkSync(BUN, join(folder, "bun"));
    symlinkSync(Bun.which("sh")!, join(folder, "sh"));
  }
  return folder;
}

/** A program does not know by what link it was called, so this is one more name of the file, or a copy. */
function bunCalled(name: string): string {
  const path = join(temporary.path, name);
  try {
    linkSync(BUN, path);
  } catch {
    copyFileSync(BUN, path);
  }
  return path;
}

const leftovers = (folder: string) => readdirSync(folder).filter((name) => name.startsWith(".install-"));

async function waiting(
  folder: string,
  command: string[],
  env: Record<string, string | undefined>,
): Promise<{ outer: Started; pid: number }> {
  rmSync(join(folder, "asked-to-end"), { force: true });
  const outer = start(command, { cwd: folder, env });
  started.push(outer);
  await until("the program waits", () => /^waiting \d+ /m.test(outer.stdout()));
  return { outer, pid: Number(/^waiting (\d+)/m.exec(outer.stdout())?.[1]) };
}

const hasNpm = Bun.which("npm", { PATH: pathWithoutBun }) !== null;

// Where only Bun is, there is no npm to try: then Bun's half below is all that can be promised.
describe.if(hasNpm)("with Node and npm and no Bun", () => {
  const env = personsEnvironment({ PATH: pathWithoutBun });
  let folder: string;
  beforeAll(() => void (folder = freshCopy("with-npm")));

  test(
    "npm run parley installs what is missing, says so on stderr alone, and runs",
    async () => {
      const result = await run(["npm", "--silent", "run", "parley", "--", "--version"], { cwd: folder, env });
      expect(result.stderr).toMatch(/^parley: installing packages .*\nparley: installed in \d+\.\d s\n$/);
      expect(result).toMatchObject({ status: 0, stdout: VERSION });
      expect(leftovers(folder)).toEqual([]);
    },
    INSTALL_TIMEOUT_MS,
  );

  test("once installed, it starts without output", async () => {
    const result = await run(["npm", "--silent", "run", "parley", "--", "--version"], { cwd: folder, env });
    expect(result).toEqual({ status: 0, stdout: VERSION, stderr: "" });
  });

  test.each(["bun", "bunx"])("npx %s is the pinned Bun, though no install script ran", async (name) => {
    const result = await run(["npx", name, "--version"], { cwd: folder, env });
    expect(result).toMatchObject({ status: 0, stdout: `${Bun.version}\n` });
  });

  test("npm start passes arguments on, and the exit status back", async () => {
    const result = await run(["npm", "--silent", "start", "--", "--host", "127.0.0.1", "--port", "x"], {
      cwd: folder,
      env,
    });
    expect(result.stderr).toBe(
      'parley: --port: "x" is not a whole number from 0 to 65535 (see "npm run parley -- serve --help")\n',
    );
    expect(result.status).toBe(2);
  });

  const npmStart = ["npm", "start", "--", "--host", "127.0.0.1", "--port", "0", "--data", join(temporary.path, "data")];

  async function serving(): Promise<{ npm: Started; url: string }> {
    const npm = start(npmStart, { cwd: folder, env });
    started.push(npm);
    await until("it is ready", () => READY.test(npm.stdout()));
    return { npm, url: READY.exec(npm.stdout())?.[1] ?? "" };
  }

  test("npm start serves, and on SIGTERM drains and exits 0", async () => {
    const { npm, url } = await serving();
    expect(npm.stdout().match(/^parley listening on .*$/gm)).toHaveLength(1);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    npm.kill("SIGTERM");
    expect(await npm.exited).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  test("kill -9 of npm frees the port and the data directory", async () => {
    const { npm, url } = await serving();
    npm.kill("SIGKILL");
    await npm.exited;
    const isGone = () =>
      fetch(`${url}/healthz`).then(
        () => false,
        () => true,
      );
    await until("the server answers no more", isGone);
    const next = await serving();
    next.npm.kill("SIGTERM");
    expect(await next.npm.exited).toBe(0);
  });

  test("SIGTERM to npm reaches the program, and npm waits for it and passes its exit status on", async () => {
    const { outer, pid } = await waiting(folder, ["npm", "--silent", "run", "wait", "--", "--a b", "c"], env);
    expect(outer.stdout()).toBe(`waiting ${pid} --a b c\n`);
    outer.kill("SIGTERM");
    expect(await outer.exited).toBe(7);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(join(folder, "asked-to-end"))).toBe(true);
  });

  test("kill -9 of npm ends the program with SIGTERM", async () => {
    const { outer, pid } = await waiting(folder, ["npm", "--silent", "run", "wait"], env);
    outer.kill("SIGKILL");
    await until("the program has ended", () => !isAlive(pid));
    expect(existsSync(join(folder, "asked-to-end"))).toBe(true);
  });

  test("kill -9 of the launcher ends the program", async () => {
    const { outer, pid } = await waiting(folder, ["node", "scripts/launch.mjs", "--script", "wait.ts"], env);
    outer.kill("SIGKILL");
    await until("the program has ended", () => !isAlive(pid));
  });

  test("SIGTERM to the launcher passes the program's exit status on", async () => {
    const { outer } = await waiting(folder, ["node", "scripts/launch.mjs", "--script", "wait.ts"], env);
    outer.kill("SIGTERM");
    expect(await outer.exited).toBe(7);
  });
});

describe("with Bun and no Node", () => {
  const env = personsEnvironment({ PATH: pathWithBunAlone() });
  const parley = ["bun", "run", "--silent", "parley", "--version"];

  test(
    "bun install takes every version from package-lock.json, so nothing is installed again",
    async () => {
      const folder = freshCopy("bun-install");
      expect((await run(["bun", "install"], { cwd: folder, env })).status).toBe(0);
      expect(readdirSync(folder)).not.toContain("bun.lock");
      expect(await run(parley, { cwd: folder, env })).toEqual({ status: 0, stdout: VERSION, stderr: "" });
      const bun = await run([join(folder, "node_modules/.bin/bun"), "--version"], { cwd: folder, env });
      expect(bun).toMatchObject({ status: 0, stdout: `${Bun.version}\n` });
    },
    INSTALL_TIMEOUT_MS,
  );

  test(
    "two launches at once in a fresh copy install one after the other, and both run",
    async () => {
      const folder = freshCopy("bun-twice");
      const results = await Promise.all([run(parley, { cwd: folder, env }), run(parley, { cwd: folder, env })]);
      for (const result of results) expect(result).toMatchObject({ status: 0, stdout: VERSION });
      const installs = results.filter(({ stderr }) => stderr.includes("installed in"));
      expect(installs).toHaveLength(1);
      expect(leftovers(folder)).toEqual([]);
    },
    INSTALL_TIMEOUT_MS,
  );

  test(
    "a launch that was killed while it installed is in nobody's way",
    async () => {
      const folder = freshCopy("bun-killed");
      const killed = start(["bun", "scripts/launch.mjs", "--version"], { cwd: folder, env });
      await until("it installs", () => leftovers(folder).some((name) => name.startsWith(".install-packages-")));
      killed.kill("SIGKILL");
      await killed.exited;
      const result = await run(parley, { cwd: folder, env });
      expect(result).toMatchObject({ status: 0, stdout: VERSION });
      expect(leftovers(folder)).toEqual([]);
    },
    INSTALL_TIMEOUT_MS,
  );

  test(
    "packages that are not the lockfile's are replaced",
    async () => {
      const folder = freshCopy("bun-stale");
      mkdirSync(join(folder, "node_modules/hono"), { recursive: true });
      writeFileSync(join(folder, "node_modules/hono/package.json"), '{"name":"hono","version":"0.0.1"}');
      const result = await run(parley, { cwd: folder, env });
      expect(result).toMatchObject({ status: 0, stdout: VERSION });
      expect(readFileSync(join(folder, "node_modules/hono/package.json"), "utf8")).not.toContain("0.0.1");
    },
    INSTALL_TIMEOUT_MS,
  );

  test(
    "an install that fails is one message with what the package manager said, whatever Bun is called, and nothing is replaced",
    async () => {
      const folder = freshCopy("bun-fails");
      mkdirSync(join(folder, "node_modules"));
      writeFileSync(join(folder, "node_modules/mine"), "");
      const result = await run([bunCalled("runtime"), "scripts/launch.mjs", "--version"], {
        cwd: folder,
        env: {
          ...env,
          BUN_CONFIG_REGISTRY: "http://127.0.0.1:1/",
          BUN_INSTALL_CACHE_DIR: join(temporary.path, "no-cache"),
          npm_config_registry: "http://127.0.0.1:1/",
        },
      });
      expect(result.status).not.toBe(0);
      expect(result.stderr).toContain("parley: installing failed (bun install --frozen-lockfile");
      expect(result.stderr).not.toContain("    at ");
      expect(readdirSync(join(folder, "node_modules"))).toEqual(["mine"]);
      expect(leftovers(folder)).toEqual([]);
    },
    INSTALL_TIMEOUT_MS,
  );

  test("kill -9 of bun run ends the program with SIGTERM", async () => {
    const folder = join(temporary.path, "bun-install");
    const { outer, pid } = await waiting(folder, ["bun", "run", "--silent", "wait"], env);
    outer.kill("SIGKILL");
    await until("the program has ended", () => !isAlive(pid));
    expect(existsSync(join(folder, "asked-to-end"))).toBe(true);
  });
});
