/**
 * What `parley serve --processes N` keeps in its data directory. The processes are nodes of a cluster of their own:
 *
 *     DATA/processes-map.json     the partition map: n1 … nN, and the port of each for links, on 127.0.0.1
 *     DATA/processes-secret       the secret that they share
 *     DATA/api-keys.json          keys of operators, which all of them take
 *     DATA/n1 … DATA/nN           the data directory of each
 *
 * The map is written last. Without it, nothing has been served from the directory yet.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileDurably } from "../../base/durable-file.ts";
import type { Random } from "../../base/random.ts";
import { makeMap } from "../../cluster/map/make-map.ts";
import { readMap, writeMap } from "../../cluster/map/map-file.ts";
import type { MapNode, NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import { FatalError } from "../fatal-error.ts";

const MAP = "processes-map.json";
const SECRET = "processes-secret";
const SECRET_BYTES = 32;
const CLUSTER_BYTES = 6;
/** Of a directory that one process has served by itself. */
const OF_ONE_PROCESS = ["token.key", "wal", "shards"];
const FILE_MODE = 0o600;

export type ProcessFiles = {
  /** The path of each. */
  readonly map: string;
  readonly secret: string;
  /** URLs for links. */
  readonly nodes: ReadonlyMap<NodeId, string>;
};

export const isOfProcesses = (data: string): boolean => existsSync(join(data, MAP));

/** For a server in one process: it would find nothing there. @throws FatalError */
export function mustNotBeOfProcesses(data: string, shown: string): void {
  if (!isOfProcesses(data)) return;
  throw new FatalError("usage", `${shown} is the data directory of several processes`, {
    hint: "start it with --processes, as before",
  });
}

/**
 * Makes what is missing. The ports for links are those of the last start, or others where those are taken.
 * @param freePort a port on 127.0.0.1 that nobody listens on: the given one, if that is so
 * @throws FatalError for a directory that has been served by another number of processes
 */
export async function prepareProcesses(
  { data, shown, count }: { data: string; shown: string; count: number },
  freePort: (port: number) => number,
  random: Random,
): Promise<ProcessFiles> {
  const [map, secret] = [join(data, MAP), join(data, SECRET)];
  const before = isOfProcesses(data) ? await newest(map, data, count) : undefined;
  if (before === undefined) mustBeNew(data, shown);
  else mustBeAsMany(before, count, shown);
  if (!existsSync(secret)) {
    if (before !== undefined) throw new FatalError("corrupt", `${join(shown, SECRET)} is missing`, { hint: BACKUP });
    await writeFileDurably(secret, Buffer.from(`${textOf(random, SECRET_BYTES)}\n`), FILE_MODE);
  }
  const ids = Array.from({ length: count }, (_, at) => `n${at + 1}` as NodeId);
  const nodes = new Map<NodeId, MapNode>();
  for (const id of ids) nodes.set(id, { url: urlOf(freePort(portOf(before?.nodes.get(id)))) });
  const isSame = ids.every((id) => before?.nodes.get(id)?.url === nodes.get(id)!.url);
  if (before === undefined) await write(map, makeMap(clusterName(random), nodes));
  else await write(map, isSame ? before : { ...before, nodes, mapVersion: before.mapVersion + 1 });
  return { map, secret, nodes: new Map([...nodes].map(([id, { url }]) => [id, url])) };
}

const BACKUP = "restore it from a backup";

/** A process may have learnt of a newer map. */
async function newest(path: string, data: string, count: number): Promise<PartitionMap> {
  let best = readMap(await readFile(path, "utf8"));
  for (let at = 1; at <= Math.max(count, best.nodes.size); at++) {
    const text = await readFile(join(data, `n${at}`, "partition-map.json"), "utf8").catch(() => undefined);
    const map = text === undefined ? best : readMap(text);
    if (map.cluster === best.cluster && map.mapVersion > best.mapVersion) best = map;
  }
  return best;
}

function mustBeNew(data: string, shown: string): void {
  if (!OF_ONE_PROCESS.some((name) => existsSync(join(data, name)))) return;
  throw new FatalError("usage", `${shown} is the data directory of one process`, {
    hint: "start it without --processes, or give another --data: its shards cannot be divided yet",
  });
}

function mustBeAsMany({ nodes }: PartitionMap, count: number, shown: string): void {
  if (nodes.size === count) return;
  throw new FatalError("usage", `${shown} is divided among ${nodes.size} processes, not ${count}`, {
    hint: `give --processes ${nodes.size}; a change of their number is not supported yet`,
  });
}

const write = (path: string, map: PartitionMap): Promise<void> =>
  writeFileDurably(path, Buffer.from(writeMap(map)), FILE_MODE);

const urlOf = (port: number): string => `http://127.0.0.1:${port}`;
const portOf = (node: MapNode | undefined): number => (node === undefined ? 0 : Number(new URL(node.url).port));
const textOf = (random: Random, bytes: number): string => Buffer.from(random.bytes(bytes)).toString("base64url");
const clusterName = (random: Random): string => `p${Buffer.from(random.bytes(CLUSTER_BYTES)).toString("hex")}`;
