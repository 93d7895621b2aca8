import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processTree } from "../../bench/measure/process-cpu.ts";
import { remedyFor } from "../../bench/peers/install.ts";
import { peersNamed } from "../../bench/peers/list.ts";
import type { LeftOut, MeasuredPeer } from "../../bench/peers/measure.ts";
import type { PeerFigures } from "../../bench/peers/outcome.ts";
import { until } from "../support/wait.ts";
import { bench, MAIN } from "./bench-program.ts";
import { expectSelfContained } from "./self-contained.ts";

type Result = { peers: (MeasuredPeer & PeerFigures)[]; leftOut: LeftOut[] };

function expectMeasured({ peers, leftOut }: Result, names: string[]): void {
  expect(leftOut).toEqual([]);
  expect(peers.map(({ name }) => name)).toEqual(names);
  for (const peer of peers) {
    expect(peer.rounds.peer.length).toBe(1);
    expect(peer.throughputRatio.median).toBeGreaterThan(0);
    expect(peer.peerCpuRatio.median).toBeGreaterThan(0);
    expect(peer.open.rounds.peer[0]!.p99Ms).toBeGreaterThan(0);
    expect(peer.sent).toBeGreaterThan(8);
    expect(peer.stored).toBe(peer.sent * (peer.protocol === "xmpp" ? 2 : 1));
  }
}

test("the tiny bench of peers measures the Socket.IO server beside Parley, and finds every message in its store", async () => {
  const folder = mkdtempSync(join(tmpdir(), "parley-report-"));
  try {
    const report = join(folder, "report.html");
    const words = ["peers", "--tiny", "--json", "--report", report, "--peers", "socket.io-bun"];
    const { out, errors, status } = await bench(...words);
    expect({ status, errors: status === 0 ? "" : errors }).toEqual({ status: 0, errors: "" });
    expectMeasured(JSON.parse(out) as Result, ["socket.io-bun"]);
    expect(errors.replaceAll(/\s+/g, " ")).toContain("Delivered means: the row is committed and synced");
    expectSelfContained(readFileSync(report, "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

// The packages are not on every machine: one of each kind, that with the most settings, where they are.
for (const name of ["ejabberd-sqlite", "prosody-sqlite"]) {
  const missing = await peersNamed([name])[0]!.missing();
  if (missing !== undefined)
    process.stderr.write(`NOT RUN: the tiny bench beside ${name}: ${missing.why}; ${remedyFor(missing)}\n`);
  test.skipIf(missing !== undefined)(
    `the tiny bench measures ${name} beside Parley, and finds every message in both archives`,
    async () => {
      const { out, errors, status } = await bench("peers", "--tiny", "--json", "--peers", name);
      expect({ status, errors: status === 0 ? "" : errors }).toEqual({ status: 0, errors: "" });
      expectMeasured(JSON.parse(out) as Result, [name]);
    },
  );
}

/** The bench where none of the peers is installed. `programs` are shell scripts by name. */
async function benchWithoutPeers(words: string[], programs: Record<string, string> = {}) {
  const path = mkdtempSync(join(tmpdir(), "parley-path-"));
  try {
    // The bench asks git for the commit.
    symlinkSync(Bun.which("git")!, join(path, "git"));
    for (const [name, text] of Object.entries(programs))
      writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    const child = Bun.spawn([process.execPath, MAIN, "peers", "--tiny", "--json", ...words], {
      ...{ cwd: import.meta.dir, stdout: "pipe", stderr: "pipe" },
      env: { ...process.env, PATH: path },
    });
    const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { out, errors, status: await child.exited };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

test("a peer that is not installed is left out loudly, with the command that installs it", async () => {
  const { out, errors, status } = await benchWithoutPeers(["--peers", "ejabberd,prosody,socket.io-node"]);
  expect({ status, errors: status === 0 ? "" : errors }).toEqual({ status: 0, errors: "" });
  const { peers, leftOut } = JSON.parse(out) as Result;
  expect(peers).toEqual([]);
  expect(leftOut.map(({ name }) => name)).toEqual(
    peersNamed(["socket.io-node", "ejabberd", "prosody"]).map(({ name }) => name),
  );
  expect(errors).toContain("LEFT OUT: Prosody, no archive: Prosody is not installed; to change that: apt-get install");
  expect(errors).toContain("LEFT OUT: Socket.IO and SQLite on Node: node is not installed");
});

test("only --install installs packages, and only as root", async () => {
  const installing = await benchWithoutPeers(["--peers", "ejabberd,prosody", "--install"], {
    "apt-get": 'echo "apt-get was asked: $*"; exit 3',
  });
  expect(installing.status).toBe(1);
  const packages = "ejabberd erlang-p1-sqlite3 prosody lua-dbi-sqlite3";
  if (process.getuid!() === 0) expect(installing.errors).toContain(`apt-get was asked: install --yes ${packages}\n`);
  else expect(installing.errors).toContain(`only root may; run apt-get install ${packages} as root`);
});

test("a bench of peers that is interrupted ends the peer and removes its data", async () => {
  const temporary = mkdtempSync(join(tmpdir(), "parley-interrupted-"));
  const child = Bun.spawn(
    [process.execPath, MAIN, "peers", "--tiny", "--peers", "socket.io-bun", "--rounds", "10000"],
    {
      ...{ cwd: import.meta.dir, stdout: "ignore", stderr: "pipe" },
      env: { ...process.env, TMPDIR: temporary },
    },
  );
  try {
    const reading = new Response(child.stderr).text();
    let started: number[] = [];
    // Parley, the peer, and a load for each.
    await until("they run", () => {
      started = processTree(child.pid).slice(1);
      return started.length === 4 || child.exitCode !== null;
    });
    child.kill("SIGINT");
    expect(await child.exited).toBe(1);
    expect(await reading).toContain("bench: ended by SIGINT");
    expect(started.length).toBe(4);
    expect(started.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  } finally {
    child.kill("SIGKILL");
    rmSync(temporary, { recursive: true, force: true });
  }
});

test("a peer that is not there is refused with the names of those that are", async () => {
  expect(await bench("peers", "--tiny", "--peers", "ejabberd,slack")).toMatchObject({
    status: 1,
    errors: expect.stringContaining("slack is not one; there are socket.io-bun, "),
  });
});
