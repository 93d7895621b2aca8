import { describe, expect, test } from "bun:test";
import type { Command } from "../../src/cli/command.ts";
import { runCommandLine } from "../../src/cli/commands.ts";
import { EXIT_MEANING, EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { commandHelp } from "../../src/cli/help.ts";
import type { Io } from "../../src/cli/io.ts";
import { keysCommand } from "../../src/cli/keys-command.ts";
import { flagOf, variableOf, type OptionSpec } from "../../src/cli/options.ts";
import { serveCommand } from "../../src/cli/serve.ts";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";

const WIDTHS = [80, 100, 200];
const WIDTH_MAX = 100;

const serve = serveCommand({
  startNode: () => Promise.reject(new Error("nothing may start here")),
  signals: {
    on: () => {},
    isIgnored: () => false,
    exit: () => {},
    clock: { now: () => 0, monotonicMs: () => 0, after: () => () => {} },
  },
});

type Printed = { status: number; stdout: string; stderr: string };

const parley = (...argv: string[]): Promise<Printed> => parleyAs({}, ...argv);

async function parleyAs(place: Partial<Io>, ...argv: string[]): Promise<Printed> {
  const printed = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => void (printed.stdout += text),
    stderr: (text: string) => void (printed.stderr += text),
    env: {},
    ...place,
  };
  const commands: [Command, ...Command[]] = [serve, keysCommand()];
  return { status: await runCommandLine(argv, commands, { version: "1.2.3", io }), ...printed };
}

describe("help", () => {
  test.each(["help serve", "serve --help", "serve --port 1 -h", "--port 1 --help"])(
    "parley %s shows every option with its default and its variable",
    async (line) => {
      const { status, stdout, stderr } = await parley(...line.split(" "));
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      const words = stdout.split(/\s+/).map((word) => word.replace(/,$/, ""));
      for (const [key, spec] of Object.entries<OptionSpec<string | number | boolean | undefined>>(SERVE_OPTIONS)) {
        expect(words).toContain(flagOf(key));
        const otherwise = spec.initial === undefined ? "no default" : `default ${String(spec.initial)}`;
        expect(stdout).toContain(`${variableOf(key)}${spec.isFlag === true ? "=true" : `, ${otherwise}`}\n`);
      }
    },
  );

  test.each(["", "--help", "-h", "help"])("parley %s is about the whole: no option of serve in it", async (line) => {
    const { status, stdout, stderr } = await parley(...line.split(" ").filter((word) => word !== ""));
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toStartWith("Usage: parley COMMAND [options]\n");
    expect(stdout).toContain("parley COMMAND --help");
    expect(stdout).not.toContain("--port");
  });

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
    expect((await parley("help", "keys")).stdout).toStartWith("Usage: parley keys COMMAND [options]\n");
    expect((await parley("keys", "create", "--help")).stdout).toStartWith(
      "Usage: parley keys create --name NAME [options]\n",
    );
    expect((await parley("help", "keys", "list")).stdout).not.toContain("--name");
  });

  test("in a clone it shows the commands to type there", async () => {
    const clone = { program: "npm run parley --" };
    expect((await parleyAs(clone, "--help")).stdout).toStartWith("Usage: npm run parley -- COMMAND [options]\n");
    expect((await parleyAs(clone, "serve", "--help")).stdout).toStartWith(
      "Usage: npm start -- [options]\n       npm run parley -- serve [options]\n",
    );
    expect((await parleyAs(clone, "srve")).stderr).toEndWith(' (see "npm run parley -- --help")\n');
  });

  test.each(WIDTHS)("on a terminal of %d columns no line is longer than it, or than 100", async (columns) => {
    for (const line of ["--help", "serve --help", "keys --help", "keys create --help"]) {
      const { stdout } = await parleyAs({ columns, program: "npm run parley --" }, ...line.split(" "));
      const longest = Math.max(...stdout.split("\n").map((each) => each.length));
      expect([line, longest]).toEqual([line, Math.min(longest, columns, WIDTH_MAX)]);
    }
  });

  test("its columns are aligned", () => {
    const options = commandHelp(serve, {})
      .split("\n")
      .filter((line) => line.startsWith("  --"));
    expect(options.length).toBe(Object.keys(SERVE_OPTIONS).length);
    expect(new Set(options.map((line) => line.search(/(?<=^ +--\S+(?: \S+)? {2,})\S/))).size).toBe(1);
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
