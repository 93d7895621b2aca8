import { describe, expect, test } from "bun:test";
import { runCommandLine, type Command } from "../../src/cli/commands.ts";
import { EXIT_MEANING, EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { commandHelp } from "../../src/cli/help.ts";
import { keysCommand } from "../../src/cli/keys-command.ts";
import { flagOf, variableOf } from "../../src/cli/options.ts";
import { serveCommand } from "../../src/cli/serve.ts";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";

const WIDTH_MAX = 110;

const serve = serveCommand({
  startNode: () => Promise.reject(new Error("nothing may start here")),
  signals: { on: () => {}, exit: () => {}, clock: { now: () => 0, monotonicMs: () => 0, after: () => () => {} } },
});

async function parley(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const printed = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => void (printed.stdout += text),
    stderr: (text: string) => void (printed.stderr += text),
    env: {},
  };
  const commands: [Command, ...Command[]] = [serve, keysCommand()];
  return { status: await runCommandLine(argv, commands, { version: "1.2.3", io }), ...printed };
}

describe("help", () => {
  test.each(["--help", "-h", "help", "help serve", "serve --help", "serve --port 1 -h"])(
    "parley %s shows every option with its default and its variable",
    async (line) => {
      const { status, stdout, stderr } = await parley(...line.split(" "));
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      const words = stdout.split(/\s+/).map((word) => word.replace(/,$/, ""));
      for (const [key, { initial }] of Object.entries(SERVE_OPTIONS)) {
        expect(words).toContain(flagOf(key));
        expect(words).toContain(variableOf(key));
        expect(stdout).toContain(`default ${initial ?? "none"}, or ${variableOf(key)}\n`);
      }
    },
  );

  test("every exit status is listed", async () => {
    const { stdout } = await parley("--help");
    for (const [reason, status] of Object.entries(EXIT_STATUS)) {
      expect(stdout).toMatch(
        new RegExp(`^  ${status} +${RegExp.escape(EXIT_MEANING[reason as keyof typeof EXIT_STATUS])}$`, "m"),
      );
    }
  });

  test("every command is listed, and has help of its own", async () => {
    const { stdout } = await parley("--help");
    expect(stdout).toContain("  keys create|list|revoke ");
    expect((await parley("help", "keys")).stdout).toBe((await parley("keys", "--help")).stdout);
    expect((await parley("help", "keys")).stdout).toStartWith("parley keys: ");
  });

  test("its columns are aligned and fit a terminal", () => {
    const lines = commandHelp(serve).split("\n");
    const options = lines.filter((line) => line.startsWith("  --"));
    const starts = options.map((line) => line.search(/(?<=^ +\S+ \S+ +)\S/));
    expect(new Set(starts).size).toBe(1);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(WIDTH_MAX);
  });
});

describe("commands", () => {
  test.each(["--version", "version", "-v"])("parley %s shows the version", async (word) => {
    expect(await parley(word)).toEqual({ status: 0, stdout: "parley 1.2.3\n", stderr: "" });
  });

  test.each([
    ["srve", "serve"],
    ["kyes", "keys"],
    ["versoin", "version"],
  ])("parley %s is refused, naming %s", async (word, meant) => {
    const { status, stdout, stderr } = await parley(word);
    expect({ status, stdout }).toEqual({ status: EXIT_STATUS.usage, stdout: "" });
    expect(stderr).toBe(`parley: unknown command "${word}"; did you mean ${meant}? (see "parley --help")\n`);
  });

  test("a word like no command is refused without a guess", async () => {
    const { status, stderr } = await parley("help", "xyzzy");
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: 'parley: unknown command "xyzzy" (see "parley --help")\n',
    });
  });

  test("options without a command are those of serve", async () => {
    expect(await parley("--prot")).toEqual(await parley("serve", "--prot"));
  });
});

test("exit statuses are distinct", () => {
  const numbers = Object.values(EXIT_STATUS);
  expect(new Set(numbers).size).toBe(numbers.length);
});
