/**
 * The import rules as a table: a check of the picture in ARCHITECTURE.md. A place is a folder or a file, from the root,
 * without the places above it in the table that are inside it. Every import that the table does not allow is refused,
 * also of new folders and packages.
 */
import { dirname, join } from "node:path/posix";

type Layer = {
  place: string;
  /** Places it may import besides itself. */
  imports: readonly string[];
  /** Places of which it may import only types, which do not exist at runtime. */
  types?: readonly string[];
  /** False for code that also runs in browsers. */
  builtins?: boolean;
};

/** The types that all of storage uses. */
const STORE_WORDS = ["storage/types.ts", "storage/errors.ts", "storage/steps.ts", "storage/shortage.ts"];

/** The files of storage that src may import, and no others. */
const STORE = [
  ...STORE_WORDS,
  "storage/open-store.ts",
  "storage/store-options.ts",
  "storage/log-store.ts",
  "storage/shard/shard-log.ts",
  "storage/shard/staged-record.ts",
  "storage/shard/damaged-shards.ts",
  "storage/encoding/byte-reader.ts",
  "storage/encoding/byte-writer.ts",
  "storage/encoding/record.ts",
  "storage/files/flush-error.ts",
];
const STORE_DIRECTORY = [
  "storage/vfs/held-directory.ts",
  "storage/vfs/file-system.ts",
  "storage/vfs/descriptor-reserve.ts",
];
/** The tools that the command line runs on a directory at rest. */
const STORE_TOOLS = [
  "storage/tools/verify.ts",
  "storage/tools/verify-files.ts",
  "storage/tools/report.ts",
  "storage/tools/repair/repair.ts",
  "storage/tools/repair/copy-files.ts",
  "storage/tools/repair/torn-read.ts",
  "storage/tools/export-shard.ts",
  "storage/tools/import-shard.ts",
  "storage/tools/log-reader.ts",
  "storage/tools/overview.ts",
  "storage/tools/inspected-shard.ts",
  "storage/tools/plain-database.ts",
  "storage/tools/readable.ts",
  "storage/tools/manifest.ts",
  "storage/tools/inventory.ts",
];

/**
 * The parts of storage that one shard needs: its log, and types. The store, which has all shards, is not among them.
 */
const SHARD_STORE = [
  "storage/types.ts",
  "storage/errors.ts",
  "storage/shortage.ts",
  "storage/shard/shard-log.ts",
  "storage/shard/staged-record.ts",
  "storage/encoding/byte-reader.ts",
  "storage/encoding/byte-writer.ts",
];

const PARTS = [
  "src/base",
  "src/domain",
  "src/protocol",
  "src/home",
  "src/home/fold",
  "src/home/messages",
  "src/edge/socket",
  "src/edge/http",
];
const EVERYTHING = [
  ...PARTS,
  "src/cluster",
  "src/push",
  "src/client",
  "src/web",
  "src/node",
  "src/cli",
  "package.json",
];

export const LAYERS: readonly Layer[] = [
  // Storage, from the ground up.
  { place: "storage/types.ts", imports: [] },
  { place: "storage/steps.ts", imports: [] },
  { place: "storage/shortage.ts", imports: [] },
  { place: "storage/errors.ts", imports: ["storage/types.ts"] },
  { place: "storage/encoding", imports: ["storage/types.ts"] },
  { place: "storage/vfs", imports: STORE_WORDS },
  { place: "storage/log/local", imports: [...STORE_WORDS, "storage/encoding", "storage/vfs", "storage/log"] },
  { place: "storage/log", imports: STORE_WORDS, types: ["storage/encoding", "storage/vfs"] },
  { place: "storage/files/sqlite", imports: [...STORE_WORDS, "storage/vfs"] },
  { place: "storage/files/segment-store.ts", imports: STORE_WORDS },
  {
    place: "storage/files/flush-error.ts",
    imports: [...STORE_WORDS, "storage/files/sqlite"],
    types: ["storage/files/segment-store.ts"],
  },
  { place: "storage/files/layers", imports: [...STORE_WORDS, "storage/encoding", "storage/files/sqlite"] },
  {
    place: "storage/files/placed",
    imports: [...STORE_WORDS, "storage/encoding", "storage/files/sqlite", "storage/files/layers"],
  },
  {
    place: "storage/files/flush",
    imports: [
      ...STORE_WORDS,
      "storage/encoding",
      "storage/vfs",
      "storage/files/sqlite",
      "storage/files/layers",
      "storage/files/placed",
      "storage/files/flush-error.ts",
    ],
    types: ["storage/files/segment-store.ts"],
  },
  { place: "storage/files", imports: [...STORE_WORDS, "storage/encoding", "storage/vfs", "storage/files"] },
  // A shard knows the log and the files by their ports.
  {
    place: "storage/shard",
    imports: [
      ...STORE_WORDS,
      "storage/encoding",
      "storage/log",
      "storage/files/flush-error.ts",
      "storage/vfs/whole-file.ts",
    ],
    types: ["storage/vfs", "storage/files/segment-store.ts"],
  },
  { place: "storage/open-store.ts", imports: ["storage"] },
  { place: "storage/tools", imports: ["storage"] },
  // The store itself.
  {
    place: "storage",
    imports: ["storage/vfs", "storage/shard", ...STORE_WORDS],
    types: ["storage/log", "storage/files/segment-store.ts"],
  },
  { place: "src/base", imports: [], types: ["src/protocol"] },
  { place: "src/protocol", imports: [], builtins: false },
  {
    place: "src/domain",
    imports: ["src/base", "storage/types.ts", "storage/encoding/byte-reader.ts"],
    types: ["src/protocol", ...STORE],
  },
  // The fold changes state and nothing else: no log, no session, no frame.
  {
    place: "src/home/fold",
    imports: ["src/domain", "src/home/state/cells.ts"],
    types: [
      "src/home/state/conversation-state.ts",
      "src/home/state/group-state.ts",
      "src/home/state/user-state.ts",
      "storage/types.ts",
    ],
  },
  // What crosses between shards is plain data: no state, no log, nothing that could not be sent over a network.
  {
    place: "src/home/messages",
    imports: [
      "src/base",
      "src/domain",
      "src/protocol",
      "storage/types.ts",
      "storage/encoding/byte-reader.ts",
      "storage/encoding/byte-writer.ts",
    ],
    types: ["src/home/authorization.ts"],
  },
  // One shard's commands and state. It does not know which shards exist (src/node does), so no shard reaches into
  // another. A shard encodes a frame once for all its receivers, so it knows the protocol's encoder.
  {
    place: "src/home",
    imports: ["src/base", "src/domain", "src/protocol", "src/home/fold", "src/home/messages", ...SHARD_STORE],
  },
  // Connections and frames: no state of users and groups.
  {
    place: "src/edge/socket",
    imports: ["src/base", "src/domain", "src/protocol", "src/home/session", "src/edge/relay.ts"],
  },
  // The server serves its own protocol document.
  {
    place: "src/edge/http",
    imports: ["src/base", "src/domain", "src/protocol", "src/home/refusal-of.ts", "docs/protocol.md"],
    types: ["src/home/services.ts", "src/edge/relay.ts"],
  },
  // Links, routing and the map. It carries what shards and clients say, and knows no state of either.
  {
    place: "src/cluster",
    imports: [
      "src/base",
      "src/domain",
      "src/protocol",
      "src/home/messages",
      "storage/types.ts",
      "storage/encoding/byte-reader.ts",
      "storage/encoding/byte-writer.ts",
      "storage/encoding/packing.ts",
    ],
    types: ["src/home", "src/edge/relay.ts", "src/edge/socket/socket-end.ts"],
  },
  // The port of the relay, which both edges use and src/cluster implements.
  { place: "src/edge/relay.ts", imports: [], types: ["src/domain", "src/protocol"] },
  { place: "src/push", imports: ["src/base", "src/domain", "src/protocol"], types: ["src/home"] },
  { place: "src/client", imports: ["src/protocol"], builtins: false },
  { place: "src/web", imports: ["src/protocol", "src/client"], builtins: false },
  // A move copies the files of a shard as the tools do.
  {
    place: "src/node/cluster",
    imports: [
      ...EVERYTHING,
      ...STORE,
      ...STORE_DIRECTORY,
      "storage/tools/export-shard.ts",
      "storage/tools/import-shard.ts",
    ],
  },
  { place: "src/cli", imports: [...EVERYTHING, ...STORE, ...STORE_DIRECTORY, ...STORE_TOOLS] },
  { place: "src/node", imports: [...EVERYTHING, ...STORE, ...STORE_DIRECTORY] },
  { place: "src/main.ts", imports: EVERYTHING },
];

/**
 * Implementations behind ports, and the only files that may import them besides: the one that builds them, and tools
 * that read files at rest.
 */
const BEHIND_PORTS: readonly { place: string; port: string; knownTo: readonly string[] }[] = [
  {
    place: "storage/log/local",
    port: "storage/log/commit-log.ts",
    knownTo: ["storage/open-store.ts", "storage/tools"],
  },
];

/** Each package is imported in one place, so that it can be replaced easily. */
const PACKAGE_HOMES: Record<string, string> = {
  "better-sqlite3": "storage/files/sqlite/database.ts",
  "lz4-napi": "storage/encoding/packing.ts",
  jose: "src/home/accounts",
  hono: "src/edge/http",
  "@hono/zod-openapi": "src/edge/http",
  zod: "src/edge/http",
};

export type SourceFile = { path: string; text: string };

/** One line for each import that the table does not allow. */
export function importViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    importsOf(file.text).flatMap((found) => {
      const problem = problemOf(file.path, found);
      return problem === undefined ? [] : [`${file.path}:${found.line}: ${problem}`];
    }),
  );
}

type Import = { specifier: string; isType: boolean; line: number };

const COMMENT = /^[ \t]*(?:\/\/.*|\/\*[^]*?\*\/)/gm;
const STATIC = /^[ \t]*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /\b(?:import|require)\(\s*"([^"]+)"/g;

function importsOf(source: string): Import[] {
  const text = source.replaceAll(COMMENT, (comment) => comment.replaceAll(/[^\n]/g, " "));
  const lineAt = (index: number) => text.slice(0, index).split("\n").length;
  const fixed = [...text.matchAll(STATIC)].map((match) => ({
    specifier: match[2] ?? "",
    isType: match[1] !== undefined,
    line: lineAt(match.index),
  }));
  const dynamic = [...text.matchAll(DYNAMIC)].map((match) => ({
    specifier: match[1] ?? "",
    isType: false,
    line: lineAt(match.index),
  }));
  return [...fixed, ...dynamic];
}

function problemOf(path: string, { specifier, isType }: Import): string | undefined {
  const layer = placeOf(path);
  if (layer === undefined) return `belongs to no layer; give it one in scripts/testing/import-rules.ts`;
  if (/^(node|bun):|^bun$/.test(specifier)) {
    return layer.builtins === false && !isType
      ? `${layer.place} also runs in browsers, which have no ${specifier}`
      : undefined;
  }
  if (!specifier.startsWith(".")) return packageProblem(path, specifier);
  const target = join(dirname(path), specifier);
  const hidden = BEHIND_PORTS.find(({ place }) => isIn(target, place));
  if (hidden !== undefined && ![hidden.place, ...hidden.knownTo].some((place) => isIn(path, place)))
    return `${path} may not import ${target}, which stands behind ${hidden.port}`;
  const allowed = [...layer.imports, ...(isType ? (layer.types ?? []) : [])];
  if (placeOf(target) === layer || allowed.some((place) => isIn(target, place))) return undefined;
  const onlyTypes = (layer.types ?? []).some((place) => isIn(target, place)) ? " except as types" : "";
  return `${layer.place} may not import ${target}${onlyTypes}`;
}

function packageProblem(path: string, specifier: string): string | undefined {
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const home = PACKAGE_HOMES[name];
  if (home === undefined) return `the package ${name} has no home in scripts/testing/import-rules.ts`;
  return isIn(path, home) ? undefined : `the package ${name} may only be imported in ${home}`;
}

const placeOf = (path: string): Layer | undefined => LAYERS.find(({ place }) => isIn(path, place));

const isIn = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`);
