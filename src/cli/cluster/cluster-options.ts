/** What the commands of a cluster have in common: options, and the files that they read and write. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { writeFileDurably } from "../../base/durable-file.ts";
import { AdminClient } from "../../cluster/admin-client.ts";
import { MapError, readMap, writeMap } from "../../cluster/map/map-file.ts";
import type { MapNode, NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import { NAME_PATTERN } from "../../domain/address.ts";
import { adminSecretOf } from "../../node/cluster/cluster-settings.ts";
import { FatalError } from "../fatal-error.ts";
import { flag, text, type OptionSpec } from "../options.ts";

const SECTION = "Options";
const isPath = (value: string): boolean => value !== "" && !value.includes("\0");

const file = (summary: string): OptionSpec<string | undefined> =>
  text({ section: SECTION, summary, placeholder: "FILE", initial: undefined, expected: "a file", accepts: isPath });

export const MAP = file("the partition map");
export const SECRET_FILE = file("the cluster's secret, as the nodes have it");
export const OUTPUT = file("where the result goes (also -o)");
export const JSON_OBJECT = flag({ section: SECTION, summary: "for programs: one JSON object" });

/** Text that is checked where it is used. */
export const free = (placeholder: string, summary: string): OptionSpec<string | undefined> =>
  text({ section: SECTION, summary, placeholder, initial: undefined, expected: placeholder, accepts: (s) => s !== "" });

/** @throws FatalError usage */
export function required<Value>(value: Value | undefined, option: string): Value {
  if (value !== undefined) return value;
  throw new FatalError("usage", `${option} is missing`);
}

export async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new FatalError("usage", `${path}: ${what} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** @throws FatalError usage, with what is wrong with it */
export async function readMapFile(path: string): Promise<PartitionMap> {
  return mapFrom(path, await readText(path, "the map"));
}

export function mapFrom(source: string, text: string): PartitionMap {
  try {
    return readMap(text);
  } catch (cause) {
    if (!(cause instanceof MapError)) throw cause;
    throw new FatalError("usage", `${source}: ${cause.message}`, { hint: "nothing was changed", cause });
  }
}

export async function adminClient(secretFile: string | undefined): Promise<AdminClient> {
  const secret = await readText(required(secretFile, "--secret-file FILE"), "the cluster's secret");
  return new AdminClient(adminSecretOf(secret));
}

export const writeMapFile = (path: string, map: PartitionMap): Promise<void> =>
  writeFileDurably(path, Buffer.from(writeMap(map)), 0o600);

/** What is there may be the only copy. @throws FatalError usage */
export function mustBeNew(path: string, what: string): void {
  if (existsSync(path))
    throw new FatalError("usage", `${path} is there already`, { hint: `give ${what} another name, or move it away` });
}

/** `n1=10.0.0.1:8080,n2=https://n2.example` @throws FatalError usage */
export function readNodes(option: string, given: string): Map<NodeId, MapNode> {
  const nodes = new Map<NodeId, MapNode>();
  for (const part of given.split(",")) {
    const at = part.indexOf("=");
    const [id, place] = [part.slice(0, at), part.slice(at + 1)];
    if (at < 1 || !NAME_PATTERN.test(id))
      throw new FatalError("usage", `${option}: ${JSON.stringify(part.slice(0, 80))} is not NAME=HOST:PORT`);
    if (nodes.has(id as NodeId)) throw new FatalError("usage", `${option}: ${id} is named twice`);
    nodes.set(id as NodeId, { url: urlOf(option, place) });
  }
  return nodes;
}

function urlOf(option: string, place: string): string {
  const url = place.includes("://") ? place : `http://${place}`;
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) && (place.includes("://") || /:\d+$/.test(place)))
    return new URL(url).origin;
  throw new FatalError("usage", `${option}: ${JSON.stringify(place.slice(0, 80))} is not HOST:PORT`);
}
