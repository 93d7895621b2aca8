import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { sourceFiles } from "../../scripts/testing/checks.ts";
import { importViolations } from "../../scripts/testing/import-rules.ts";

const violations = (path: string, text: string) => importViolations([{ path, text }]);

test("every import of src and storage goes in a direction that the design allows", async () => {
  const files = await sourceFiles(join(import.meta.dir, "../.."));
  expect(files.length).toBeGreaterThan(10);
  expect(importViolations(files)).toEqual([]);
});

describe("what the design forbids is found, with its line:", () => {
  test.each([
    ["storage knows nothing of chat", "storage/log/local/a.ts", 'import { x } from "../../../src/domain/a.ts";'],
    ["the SDK imports the protocol alone", "src/client/a.ts", 'import { x } from "../base/clock.ts";'],
    ["the protocol imports nothing", "src/protocol/a.ts", 'import { x } from "../domain/address.ts";'],
    ["a socket knows no state of a shard", "src/edge/socket/a.ts", 'import { x } from "../../home/state/a.ts";'],
    ["a shard does not know which shards there are", "src/home/a.ts", 'import { x } from "../node/shard-host.ts";'],
    [
      "nor does it know the store, which has all of them",
      "src/home/a/b.ts",
      'import type { x } from "../../../storage/log-store.ts";',
    ],
    ["what crosses between shards is no state", "src/home/messages/a.ts", 'import type { x } from "../state/a.ts";'],
    ["the fold writes to no log", "src/home/fold/a.ts", 'import { writeRecord } from "../durable.ts";'],
    ["the fold tells nobody", "src/home/fold/a.ts", 'import type { Session } from "../session.ts";'],
    ["push is known to main alone", "src/home/a.ts", 'import type { X } from "../push/a.ts";'],
    ["a re-export is an import", "src/client/a.ts", 'export { x } from "../http/a.ts";'],
    ["so is one over several lines", "src/client/a.ts", 'import {\n  x,\n} from "../http/a.ts";'],
    ["so is one for its effects", "src/client/a.ts", 'import "../http/a.ts";'],
    ["so is a dynamic one", "src/edge/http/a.ts", 'const x = await import("../../home/a.ts");'],
    ["SQLite is imported by one file", "storage/files/a.ts", 'import Database from "better-sqlite3";'],
    ["a package has a home", "src/edge/http/a.ts", 'import { x } from "left-pad";'],
    ["browsers have no files", "src/client/a.ts", 'import { x } from "node:fs";'],
    ["the store knows no log but the port", "storage/log-store.ts", 'import { x } from "./log/local/frame.ts";'],
    ["nor does the port", "storage/log/commit-log.ts", 'import { x } from "./local/frame.ts";'],
    ["nor do types of it get out", "storage/shard/recovery.ts", 'import type { X } from "../log/local/frame.ts";'],
    ["nor does whoever else may import all", "src/node/a.ts", 'import { x } from "../../storage/log/local/scan.ts";'],
    ["layers know nothing of placed entries", "storage/files/layers/a.ts", 'import { x } from "../placed/tail.ts";'],
    ["reading and placing know no flush", "storage/files/placed/a.ts", 'import { x } from "../flush/rewrite.ts";'],
    ["encoding opens no file", "storage/encoding/a.ts", 'import { x } from "../vfs/file-system.ts";'],
    ["a shard knows its files by their port", "storage/shard/a.ts", 'import { x } from "../files/shard-reader.ts";'],
    ["the store is entered by its doors", "src/home/a.ts", 'import { x } from "../../storage/shard/memtable.ts";'],
    ["a new folder needs a place", "src/stuff/a.ts", 'import { x } from "./b.ts";'],
  ])("%s", (_name, path, text) => {
    expect(violations(path, `// first line\n${text}\n`)).toEqual([
      expect.stringMatching(new RegExp(`^${RegExp.escape(path)}:2: `)),
    ]);
  });

  test("where types are allowed, values are not", () => {
    expect(violations("src/base/a.ts", 'import type { X } from "../protocol/codes.ts";\n')).toEqual([]);
    expect(violations("src/base/a.ts", 'import { X } from "../protocol/codes.ts";\n')).toEqual([
      "src/base/a.ts:1: src/base may not import src/protocol/codes.ts except as types",
    ]);
  });
});

test("only the builder of a log, and tools that read its files, may look behind the port", () => {
  expect(violations("storage/open-store.ts", 'import { x } from "./log/local/local-log.ts";\n')).toEqual([]);
  expect(violations("storage/tools/repair/a.ts", 'import { x } from "../../log/local/scan.ts";\n')).toEqual([]);
  expect(violations("storage/log/local/a.ts", 'import { x } from "./scan.ts";\n')).toEqual([]);
});

test("text that only looks like an import is left alone", () => {
  const text = '/** Like import("../shard/a.ts") in a comment. */\nconst line = `import x from "y"`;\n';
  expect(violations("src/edge/http/a.ts", text)).toEqual([]);
});
