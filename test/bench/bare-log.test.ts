import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BareLog } from "../../bench/servers/bare-log.ts";

test("a text is in the file when its owner is called, and owners are called in order", async () => {
  const folder = mkdtempSync(join(tmpdir(), "parley-bare-log-"));
  const path = join(folder, "log");
  const log = new BareLog(path);
  try {
    const texts = Array.from({ length: 300 }, (_, at) => `message ${at} – ünïcödé ✓ ${"x".repeat((at * 37) % 5000)};`);
    const called: number[] = [];
    const isInFile: boolean[] = [];
    let all = "";
    await new Promise<void>((resolve) => {
      for (const [at, text] of texts.entries()) {
        log.append(text, () => {
          called.push(at);
          if (!all.includes(text)) all = readFileSync(path, "utf8");
          isInFile.push(all.includes(text));
          if (called.length === texts.length) resolve();
        });
      }
    });
    expect(called).toEqual([...texts.keys()]);
    expect(isInFile).not.toContain(false);
    expect(all.startsWith(texts.join(""))).toBe(true);
  } finally {
    log.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
