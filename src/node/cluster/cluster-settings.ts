/**
 * What a node of a cluster is started with: its id, the map, and the cluster's secret. The data directory keeps the
 * newest map that the node has learnt, and the keys that follow from the secret, so the tools that read a directory at
 * rest find them where they are on a node alone.
 */
import { hkdfSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadOrCreateKey } from "../../base/key-file.ts";
import { writeFileDurably } from "../../base/durable-file.ts";
import type { Random } from "../../base/random.ts";
import { FatalError } from "../../cli/fatal-error.ts";
import type { ServeOptions } from "../../cli/serve-options.ts";
import { MapError, readMap } from "../../cluster/map/map-file.ts";
import type { NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import type { OwnedBy } from "../../cluster/map/maps.ts";
import { ID_KEY_BYTES } from "../../domain/message-id.ts";

export const MAP_FILE = "partition-map.json";
export const MOVED_FILE = "moved-shards.json";
const DIRECTORY_ID_FILE = "directory.id";
const DIRECTORY_ID_BYTES = 16;
const SECRET_CHARACTERS_MIN = 32;
const SECRET_BYTES = 32;
const TOKEN_KEY_BYTES = 32;

export type ClusterSettings = {
  readonly node: NodeId;
  readonly map: PartitionMap;
  /** For the handshakes of links. */
  readonly secret: Uint8Array;
  /** For the calls of the operator's scripts. */
  readonly adminSecret: Uint8Array;
  /** Id of the data directory. */
  readonly directory: string;
  /** Moves that the map does not have, as this directory keeps them. */
  readonly moved: readonly OwnedBy[];
};

/** Undefined for a node alone. @throws FatalError for what cannot be used, with what to do */
export async function clusterSettings(options: ServeOptions, random: Random): Promise<ClusterSettings | undefined> {
  const { node, map: mapPath, clusterSecretFile, data } = options;
  if (node === undefined && mapPath === undefined && clusterSecretFile === undefined) return undefined;
  if (node === undefined) throw missing("--node ID");
  if (mapPath === undefined) throw missing("--map FILE");
  if (clusterSecretFile === undefined) throw missing("--cluster-secret-file FILE");
  const given = await readText(mapPath, "the map");
  const map = await newestMap(mapPath, given, data);
  if (!map.nodes.has(node as NodeId))
    throw new FatalError("usage", `${mapPath} has no node ${node}; it has ${[...map.nodes.keys()].join(", ")}`);
  const secret = (await readText(clusterSecretFile, "the cluster secret")).trim();
  if (secret.length < SECRET_CHARACTERS_MIN)
    throw new FatalError("usage", `${clusterSecretFile}: the secret has ${secret.length} characters`, {
      hint: `give it ${SECRET_CHARACTERS_MIN} or more, for example from: openssl rand -base64 32`,
    });
  await installKey(join(data, "id.key"), derived(secret, "message ids", ID_KEY_BYTES));
  await installKey(join(data, "token.key"), derived(secret, "tokens", TOKEN_KEY_BYTES));
  const directory = await loadOrCreateKey(join(data, DIRECTORY_ID_FILE), DIRECTORY_ID_BYTES, random);
  return {
    node: node as NodeId,
    map,
    secret: derived(secret, "links", SECRET_BYTES),
    adminSecret: adminSecretOf(secret),
    moved: await movedShards(data),
    directory: Buffer.from(directory).toString("base64url"),
  };
}

/** The given map, or the one that the directory keeps, if that is newer. */
async function newestMap(path: string, given: string, data: string): Promise<PartitionMap> {
  const map = usable(path, given);
  const keptPath = join(data, MAP_FILE);
  const kept = await readFile(keptPath, "utf8").catch(() => undefined);
  if (kept === undefined) {
    await writeFileDurably(keptPath, Buffer.from(given), 0o600);
    return map;
  }
  const before = usable(keptPath, kept);
  if (before.cluster !== map.cluster)
    throw new FatalError(
      "usage",
      `${path} is of the cluster ${map.cluster}; this data directory is of ${before.cluster}`,
      {
        hint: "give the map of that cluster, or another --data",
      },
    );
  if (before.mapVersion >= map.mapVersion) return before;
  await writeFileDurably(keptPath, Buffer.from(given), 0o600);
  return map;
}

async function movedShards(data: string): Promise<OwnedBy[]> {
  const text = await readFile(join(data, MOVED_FILE), "utf8").catch(() => "[]");
  try {
    return JSON.parse(text) as OwnedBy[];
  } catch {
    throw new FatalError("corrupt", `${join(data, MOVED_FILE)} is not JSON`, { hint: "restore it from a backup" });
  }
}

/** @param secret as in the file */
export const adminSecretOf = (secret: string): Uint8Array => derived(secret.trim(), "operators", SECRET_BYTES);

function usable(path: string, text: string): PartitionMap {
  try {
    return readMap(text);
  } catch (error) {
    if (!(error instanceof MapError)) throw error;
    throw new FatalError("usage", `${path}: ${error.message}`, { cause: error });
  }
}

/** A directory that was used by a node alone has keys of its own: tokens and message ids would change. */
async function installKey(path: string, key: Uint8Array): Promise<void> {
  const existing = await readFile(path).catch(() => undefined);
  if (existing === undefined) return writeFileDurably(path, key, 0o600);
  if (Buffer.compare(existing, key) === 0) return;
  throw new FatalError("usage", `${path} is not the key that follows from the cluster secret`, {
    hint: "this directory belongs to another cluster, or to a server alone; give another --data or the right secret",
  });
}

function derived(secret: string, purpose: string, bytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(hkdfSync("sha256", secret, "parley cluster", purpose, bytes));
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new FatalError("usage", `${path}: ${what} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

const missing = (option: string): FatalError =>
  new FatalError("usage", `${option} is missing`, {
    hint: "a node of a cluster needs --node, --map and --cluster-secret-file",
  });
