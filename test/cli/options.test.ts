import { describe, expect, test } from "bun:test";
import { FatalError } from "../../src/cli/fatal-error.ts";
import { flagOf, parseOptions, variableOf } from "../../src/cli/options.ts";
import { limitsOf, SERVE_OPTIONS } from "../../src/cli/serve-options.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";

const parse = (args: string[], env: Record<string, string> = {}) => parseOptions(SERVE_OPTIONS, args, env);

function refusal(args: string[], env: Record<string, string> = {}): string {
  try {
    parse(args, env);
  } catch (error) {
    if (error instanceof FatalError && error.reason === "usage") return error.message;
    throw error;
  }
  throw new Error(`accepted: ${args.join(" ")}`);
}

describe("where a value comes from", () => {
  test("a flag wins over its variable, the variable over the default", () => {
    expect(parse([]).port).toBe(8080);
    expect(parse([], { PARLEY_PORT: "1" }).port).toBe(1);
    expect(parse(["--port", "2"], { PARLEY_PORT: "1" }).port).toBe(2);
  });

  test("--flag value and --flag=value mean the same, and the last one holds", () => {
    expect(parse(["--host=::1", "--port", "1", "--port=0"])).toMatchObject({ host: "::1", port: 0 });
  });

  test("an empty variable counts as unset", () => {
    expect(parse([], { PARLEY_PORT: "", PARLEY_HOST: "" })).toMatchObject({ port: 8080, host: "127.0.0.1" });
  });

  test("a value may look like a flag", () => {
    expect(parse(["--data", "--odd"]).data).toBe("--odd");
  });
});

/** A value for each option that has no default. */
const WITHOUT_DEFAULT: Record<string, number | string> = {
  publicUrl: "https://chat.example",
  keepDays: 30,
  userMb: 30,
  node: "n2",
  map: "partition-map.json",
  processes: 4,
  processOf: "./data",
  clusterSecretFile: "secret",
};

describe("every option of serve", () => {
  test.each(Object.keys(SERVE_OPTIONS))("%s takes its default from its flag and from its variable", (key) => {
    const { initial } = SERVE_OPTIONS[key as keyof typeof SERVE_OPTIONS];
    const value = initial ?? WITHOUT_DEFAULT[key];
    expect(parse([`${flagOf(key)}=${String(value)}`])).toHaveProperty(key, value);
    expect(parse([], { [variableOf(key)]: String(value) })).toHaveProperty(key, value);
  });

  test.each(Object.keys(SERVE_OPTIONS))("%s refuses nonsense, naming where it stands", (key) => {
    const nonsense = "\0 no such value";
    expect(refusal([`${flagOf(key)}=${nonsense}`])).toStartWith(`${flagOf(key)}: `);
    expect(refusal([], { [variableOf(key)]: nonsense })).toStartWith(`${variableOf(key)}: `);
  });

  test("the defaults are the limits that clients are promised", () => {
    expect(limitsOf(parse([]))).toEqual(DEFAULT_LIMITS);
  });

  test("the limits can be set", () => {
    const limits = limitsOf(parse(["--send-rate", "7", "--send-burst", "8", "--text-bytes-max", "9"]));
    expect(limits).toMatchObject({ sendsPerSecond: 7, sendsBurst: 8, textBytesMax: 9 });
  });
});

describe("a bad option", () => {
  test("a number out of its range is refused with the range", () => {
    expect(refusal(["--port", "65536"])).toBe('--port: "65536" is not a whole number from 0 to 65535');
    for (const wrong of ["-1", "1.5", "0x10", "1e3", " 1", "", "9".repeat(400)]) {
      expect(refusal([`--port=${wrong}`])).toContain("is not a whole number");
    }
  });

  test("messages are kept for ever or for a day at least", () => {
    expect(parse([]).keepDays).toBeUndefined();
    expect(limitsOf(parse(["--keep-days", "30"]))).toMatchObject({ keepDays: 30 });
    for (const wrong of ["0", "-1", "1.5", "36501", "month", ""])
      expect(refusal([`--keep-days=${wrong}`])).toBe(
        `--keep-days: ${JSON.stringify(wrong)} is not a whole number from 1 to 36500`,
      );
  });

  test("an unknown choice is refused with the list of choices", () => {
    expect(refusal(["--registration=maybe"])).toBe('--registration: "maybe" is not one of open, closed');
  });

  test("a missing value is named", () => {
    expect(refusal(["--port"])).toBe("--port needs a value: a whole number from 0 to 65535");
  });

  test("an unknown option names the nearest known one", () => {
    expect(refusal(["--prot", "1"])).toBe("unknown option --prot; did you mean --port?");
    expect(refusal(["--heartbeat"])).toBe("unknown option --heartbeat; did you mean --heartbeat-ms?");
    expect(refusal(["--zzzzzz"])).toBe("unknown option --zzzzzz");
  });

  test("a stray word is refused", () => {
    expect(refusal(["data"])).toBe('unexpected "data": options start with --');
  });
});
