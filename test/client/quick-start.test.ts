/** The quick start of the README is run as it stands there, against a real server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestNode, type TestNode } from "../support/test-node.ts";

const SRC = join(import.meta.dir, "../../src");
const README = readFileSync(join(SRC, "client/README.md"), "utf8");

let node: TestNode;
let folder: string;
beforeAll(async () => {
  node = await startTestNode();
  folder = mkdtempSync(join(tmpdir(), "parley-quick-start-"));
  symlinkSync(SRC, join(folder, "src"));
  const program = /```ts\n([^]*?)```/.exec(README)?.[1] ?? "";
  expect(program).toContain("http://127.0.0.1:8080");
  writeFileSync(join(folder, "talk.ts"), program.replace("http://127.0.0.1:8080", node.url));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await node.stop();
});

test.each(["first", "second"])(
  "the quick start runs as pasted: a %s time",
  async () => {
    const child = Bun.spawn([process.execPath, "talk.ts"], { cwd: folder, stdout: "pipe", stderr: "pipe" });
    const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect([await child.exited, errors]).toEqual([0, ""]);
    expect(out).toMatch(/^sent as \d+$/m);
    expect(out).toContain("ben got hello from ann\n");
    expect(out).toContain("ann's message is delivered by ben\n");
  },
  20_000,
);

test("the README names every option and every event", () => {
  const typeOf = (file: string, name: string) =>
    new RegExp(`export type ${name} =[^]*?\\n(?:};|\\n)`).exec(
      `${readFileSync(join(SRC, "client", file), "utf8")}\n\n`,
    )?.[0] ?? "";
  const options = [...typeOf("options.ts", "ClientOptions").matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name ?? "");
  const events = [...typeOf("events.ts", "ClientEvent").matchAll(/type: "(\w+)"/g)].map(([, name]) => name ?? "");
  expect([options.length > 15, events.length > 8]).toEqual([true, true]);
  expect(options.filter((name) => !new RegExp(`^\\|.*\`${name}\\b.*\\|`, "m").test(README))).toEqual([]);
  expect(events.filter((name) => !README.includes(`\n| \`${name}\` |`))).toEqual([]);
});
