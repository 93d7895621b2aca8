import { expect, test } from "bun:test";
import { BENCHES } from "../../bench/benches.ts";
import { bench } from "./bench-program.ts";

test("without a name the benches are listed, each with a line", async () => {
  const { out, status } = await bench();
  expect(status).toBe(0);
  expect(out).toStartWith("Usage: npm run bench -- NAME");
  for (const { name } of BENCHES) expect(out).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
  expect(out).toMatch(/^ {2}all +\S/m);
});

test("a bench that is not there, an unknown option and a bad number are refused with status 2", async () => {
  expect(await bench("nothing")).toMatchObject({
    status: 2,
    errors: expect.stringContaining("bench: nothing is not a bench; there are e2e, "),
  });
  expect(await bench("e2e", "--fast")).toMatchObject({ status: 2, errors: expect.stringContaining("'--fast'") });
  expect(await bench("e2e", "--pairs", "none")).toMatchObject({
    status: 2,
    errors: expect.stringContaining("--pairs: none is not a number above 0"),
  });
  expect(await bench("stalls", "--window", "2")).toMatchObject({
    status: 2,
    errors: expect.stringContaining("--window: stalls has no such parameter"),
  });
  expect((await bench("--help")).out).toContain("--report FILE");
});
