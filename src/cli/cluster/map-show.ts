/** `parley map show`: the map as a table of nodes and a picture of the shards, from a file or from a running node. */
import { AdminError } from "../../cluster/admin-client.ts";
import { writeMap } from "../../cluster/map/map-file.ts";
import { writeRanges } from "../../cluster/map/shard-ranges.ts";
import type { NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import type { NodeStatus } from "../../node/cluster/admin.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS, FatalError } from "../fatal-error.ts";
import type { Io } from "../io.ts";
import { oneOf, parseOptions, splitWords } from "../options.ts";
import { formatBytes, oneWord, table } from "../tool-options.ts";
import {
  adminClient,
  free,
  JSON_OBJECT,
  mapFrom,
  mustBeNew,
  OUTPUT,
  readMapFile,
  required,
  SECRET_FILE,
  writeMapFile,
} from "./cluster-options.ts";
import { askNodes, ownershipsOf, wrongSecret } from "./cluster-view.ts";
import { coloured, letterOf, mapPicture } from "./map-picture.ts";

const OPTIONS = {
  url: free("URL", "a node to ask, instead of a file: shows sizes and moves as well"),
  secretFile: SECRET_FILE,
  output: OUTPUT,
  color: oneOf({
    section: "Options",
    summary: "colours; auto: on a terminal, unless NO_COLOR is set",
    initial: "auto",
    choices: ["auto", "always", "never"],
  }),
  json: JSON_OBJECT,
};

type NodeRow = { node: NodeId; url: string; shards: ShardId[]; bytes?: number; answers?: boolean };
/** `moving`: shards on their way, with where to. */
type Shown = { map: PartitionMap; owners: NodeId[]; moving: Map<ShardId, NodeId>; rows: NodeRow[] };

export const mapShow: SubCommand = {
  name: "show",
  usage: "map show [FILE | --url URL --secret-file FILE] [options]",
  summary: "show who owns which shard: a table, and the 1000 shards as a picture",
  note: "The picture has a letter for each owner, as in the table, and * for a shard that is moving.",
  options: OPTIONS,
  run: async (args, io) => {
    const { words, options: flags } = splitWords(OPTIONS, args);
    const options = parseOptions(OPTIONS, flags, io.env);
    if (options.url !== undefined && words.length > 0)
      throw new FatalError("usage", "give a FILE or --url, not both of them");
    const shown =
      options.url === undefined
        ? ofFile(await readMapFile(oneWord(words, "map")))
        : await ofNodes(options.url, options.secretFile);
    if (options.output !== undefined) {
      mustBeNew(options.output, "the map");
      await writeMapFile(options.output, shown.map);
    }
    io.stdout(options.json ? `${JSON.stringify(asJson(shown))}\n` : asText(shown, io, options.color));
    return EXIT_STATUS.ok;
  },
};

function ofFile(map: PartitionMap): Shown {
  const owners = [...map.owners];
  const rows = [...map.nodes].map(([node, { url }]) => ({ node, url, shards: shardsIn(owners, node) }));
  return { map, owners, moving: new Map(), rows };
}

async function ofNodes(given: string, secretFile: string | undefined): Promise<Shown> {
  const client = await adminClient(required(secretFile, "--secret-file FILE"));
  const url = given.includes("://") ? given : `http://${given}`;
  if (!URL.canParse(url)) throw new FatalError("usage", `--url: ${JSON.stringify(given.slice(0, 80))} is no URL`);
  const { map: text } = await client.call<NodeStatus>(new URL(url).origin, "GET", "status").catch((error: unknown) => {
    if (!(error instanceof AdminError)) throw error;
    if (error.status === 401) throw wrongSecret(url, error);
    throw new FatalError("failed", error.message, { hint: "name a node that runs", cause: error });
  });
  const map = mapFrom(url, text);
  const { answered } = await askNodes<NodeStatus>(client, map, "status");
  const owners = ownershipsOf(map, answered.values()).map(({ node }) => node);
  const moving = new Map<ShardId, NodeId>();
  for (const [node, { moves }] of answered)
    for (const { shard, state } of moves) if (state !== "done" && state !== "failed") moving.set(shard, node);
  const rows = [...map.nodes].map(([node, place]): NodeRow => {
    const status = answered.get(node);
    const row = { node, url: place.url, shards: shardsIn(owners, node), answers: status !== undefined };
    return status === undefined ? row : { ...row, bytes: Object.values(status.bytes).reduce((a, b) => a + b, 0) };
  });
  return { map, owners, moving, rows };
}

const shardsIn = (owners: readonly NodeId[], node: NodeId): ShardId[] =>
  [...owners.keys()].filter((shard) => owners[shard] === node) as ShardId[];

function asJson({ map, moving, rows }: Shown): unknown {
  return {
    cluster: map.cluster,
    mapVersion: map.mapVersion,
    nodes: rows.map(({ shards, ...row }) => ({ ...row, count: shards.length, shards: writeRanges(shards) })),
    moving: [...moving].map(([shard, to]) => ({ shard, to })),
    map: JSON.parse(writeMap(map)) as unknown,
  };
}

function asText({ map, owners, moving, rows }: Shown, io: Io, color: "auto" | "always" | "never"): string {
  const hasColour = color === "always" || (color === "auto" && io.columns !== undefined && !io.env["NO_COLOR"]);
  const isLive = rows.some(({ answers }) => answers !== undefined);
  const head = ["", "node", "shards", ...(isLive ? ["bytes", "moving here"] : []), "url"];
  const lines = rows.map(({ node, url, shards, bytes, answers }, at) => [
    coloured(letterOf(at), at, hasColour),
    node,
    String(shards.length),
    ...(isLive ? [bytes === undefined ? "?" : formatBytes(bytes), String(movingTo(moving, node))] : []),
    answers === false ? `${url}  does not answer` : url,
  ]);
  const nodes = rows.map(({ node }) => node);
  const picture = mapPicture({ owners, nodes, moving: new Set(moving.keys()), columns: io.columns ?? 80, hasColour });
  return (
    `cluster ${map.cluster}, map version ${map.mapVersion}\n\n${table([head, ...lines], isLive ? [2, 3, 4] : [2])}\n` +
    `${picture}${moving.size > 0 ? `\n* moving: ${writeRanges(moving.keys())}\n` : ""}`
  );
}

const movingTo = (moving: Shown["moving"], node: NodeId): number =>
  moving.values().reduce((count, to) => count + (to === node ? 1 : 0), 0);
