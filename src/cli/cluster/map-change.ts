/** `parley map add`, `remove` and `send`: changes of the map that move no shard, brought to every node. */
import { resolve } from "node:path";
import type { AdminClient } from "../../cluster/admin-client.ts";
import { writeMap } from "../../cluster/map/map-file.ts";
import type { MapNode, NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import type { OwnedBy } from "../../cluster/map/maps.ts";
import type { NodeStatus } from "../../node/cluster/admin.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS, FatalError } from "../fatal-error.ts";
import type { Io } from "../io.ts";
import { parseOptions, splitWords } from "../options.ts";
import { counted, oneWord } from "../tool-options.ts";
import {
  adminClient,
  JSON_OBJECT,
  MAP,
  mapFrom,
  readMapFile,
  readNodes,
  required,
  SECRET_FILE,
  writeMapFile,
} from "./cluster-options.ts";
import { askNodes, listed, mustHaveMap, nextMap, ownershipsOf, publish } from "./cluster-view.ts";
import { fingerprintOf } from "../../cluster/map/partition-map.ts";

const CHANGE = { map: MAP, secretFile: SECRET_FILE, json: JSON_OBJECT };
const SEND = { secretFile: SECRET_FILE, json: JSON_OBJECT };

export const mapAdd: SubCommand = {
  name: "add",
  usage: "map add NAME=HOST:PORT --map FILE --secret-file FILE",
  summary: "bring a new node into the map; it owns nothing until a rebalance",
  note: "FILE is replaced by the next version, which goes to all nodes. Start the new node with it.",
  options: CHANGE,
  run: (args, io) =>
    change(args, io, (map, _owned, word) => {
      const [[id, node]] = [...readNodes("map add", word)] as [[NodeId, MapNode]];
      if (map.nodes.has(id)) throw refused(`the map has a node ${id} already`);
      const nodes = new Map([...map.nodes, [id, node]]);
      return { nodes, next: `start ${id} with it, then: parley rebalance plan --add ${id}` };
    }),
};

export const mapRemove: SubCommand = {
  name: "remove",
  usage: "map remove NAME --map FILE --secret-file FILE",
  summary: "take a node that owns nothing out of the map",
  note: "FILE is replaced by the next version, which goes to all nodes.",
  options: CHANGE,
  run: (args, io) =>
    change(args, io, (map, owned, word) => {
      const id = word as NodeId;
      if (!map.nodes.has(id)) throw refused(`the map has no node ${id}; it has ${listed(map.nodes.keys())}`);
      const own = owned.filter(({ node }) => node === id).length;
      if (own > 0)
        throw refused(`${id} owns ${counted(own, "shard")}`, `move them first: parley rebalance plan --drain ${id}`);
      return { nodes: new Map([...map.nodes].filter(([node]) => node !== id)), next: `${id} can be stopped now` };
    }),
};

const refused = (words: string, hint = "nothing was changed"): FatalError => new FatalError("failed", words, { hint });

type Change = (map: PartitionMap, owned: OwnedBy[], word: string) => { nodes: Map<NodeId, MapNode>; next: string };

async function change(args: string[], io: Io, make: Change): Promise<number> {
  const { words, options: flags } = splitWords(CHANGE, args);
  const options = parseOptions(CHANGE, flags, io.env);
  const word = oneWord(words, "node");
  const path = required(options.map, "--map FILE");
  const map = await readMapFile(path);
  const client = await adminClient(options.secretFile);
  const { answered, owned } = await agreed(client, path, map);
  const { nodes, next } = make(map, owned, word);
  const changed = nextMap(map, owned, nodes);
  mapFrom("the next map", writeMap(changed));
  // The file first: a crash before the nodes have it is mended by parley map send.
  await writeMapFile(resolve(path), changed);
  const everywhere = new Map([...map.nodes, ...nodes]);
  const silent = await publish(client, writeMap(changed), everywhere);
  return say(io, options.json, path, changed, { asked: answered, silent, next });
}

/** Who owns what, as all nodes that answer say; they have the map of the file. @throws FatalError */
async function agreed(
  client: AdminClient,
  path: string,
  map: PartitionMap,
): Promise<{ answered: number; owned: OwnedBy[] }> {
  const { answered } = await askNodes<NodeStatus>(client, map, "status");
  if (answered.size === 0)
    throw refused("no node of the map answers", "start the nodes, or make another map with parley map init");
  for (const [node, status] of answered) {
    const theirs = mapFrom(node, status.map);
    mustHaveMap(path, map, node, { mapVersion: theirs.mapVersion, fingerprint: fingerprintOf(theirs) });
  }
  return { answered: answered.size, owned: ownershipsOf(map, answered.values()) };
}

export const mapSend: SubCommand = {
  name: "send",
  usage: "map send FILE --secret-file FILE",
  summary: "bring a newer map to all nodes, for example after a change of addresses",
  note: "Owners in it must be those of now: parley rebalance changes them.",
  options: SEND,
  run: async (args, io) => {
    const { words, options: flags } = splitWords(SEND, args);
    const options = parseOptions(SEND, flags, io.env);
    const path = oneWord(words, "map");
    const map = await readMapFile(path);
    const client = await adminClient(options.secretFile);
    const { answered } = await askNodes<NodeStatus>(client, map, "status");
    if (answered.size === 0) throw refused("no node of the map answers", "start the nodes with it: --map FILE");
    for (const [node, status] of answered) mustBeNewer(path, map, node, mapFrom(node, status.map));
    mustKeepOwners(path, map, answered);
    const silent = await publish(client, writeMap(map), map.nodes);
    return say(io, options.json, path, map, { asked: answered.size, silent, next: undefined });
  },
};

function mustBeNewer(path: string, map: PartitionMap, node: NodeId, theirs: PartitionMap): void {
  const hint = "get it with parley map show --url URL -o FILE; nothing was changed";
  if (theirs.mapVersion > map.mapVersion)
    throw new FatalError(
      "failed",
      `${path} is an older map: version ${map.mapVersion}, and ${node} has ${theirs.mapVersion}`,
      { hint },
    );
  if (theirs.mapVersion === map.mapVersion && fingerprintOf(theirs) !== fingerprintOf(map))
    throw new FatalError("failed", `${path} and ${node} have different maps of version ${map.mapVersion}`, { hint });
}

function mustKeepOwners(path: string, map: PartitionMap, answered: ReadonlyMap<NodeId, NodeStatus>): void {
  for (const [node, status] of answered)
    for (const now of ownershipsOf(mapFrom(node, status.map), [status])) {
      const [owner, term] = [map.owners[now.shard]!, map.terms[now.shard]!];
      if (owner === now.node || term < now.term) continue;
      throw new FatalError("failed", `${path} gives shard ${now.shard} to ${owner}, and ${now.node} owns it`, {
        hint: "a map cannot move a shard: parley rebalance does; nothing was changed",
      });
    }
}

function say(
  io: Io,
  isJson: boolean,
  path: string,
  { mapVersion }: PartitionMap,
  { asked, silent, next }: { asked: number; silent: ReadonlyMap<NodeId, string>; next: string | undefined },
): number {
  if (isJson) io.stdout(`${JSON.stringify({ file: path, mapVersion, silent: Object.fromEntries(silent) })}\n`);
  else {
    io.stdout(`${path}: map version ${mapVersion}, taken by the nodes that answer (${asked} before)\n`);
    for (const [node, why] of silent) io.stdout(`${node}: ${why}; it gets the map from the others once it runs\n`);
    if (next !== undefined) io.stdout(`next: ${next}\n`);
  }
  return EXIT_STATUS.ok;
}
