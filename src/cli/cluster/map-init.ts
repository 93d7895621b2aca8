/** `parley map init`: makes the first map of a cluster. */
import { systemRandom } from "../../base/random.ts";
import { makeMap } from "../../cluster/map/make-map.ts";
import { writeMap } from "../../cluster/map/map-file.ts";
import type { PartitionMap } from "../../cluster/map/partition-map.ts";
import { NAME_PATTERN } from "../../domain/address.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS } from "../fatal-error.ts";
import { parseOptions, text } from "../options.ts";
import { counted } from "../tool-options.ts";
import { free, JSON_OBJECT, mapFrom, mustBeNew, OUTPUT, readNodes, required, writeMapFile } from "./cluster-options.ts";

const CLUSTER_ID_BYTES = 6;

const OPTIONS = {
  nodes: free("NAME=HOST:PORT,…", "the nodes that own shards, and where other nodes reach them"),
  edges: free("NAME=HOST:PORT,…", "nodes that take clients and own nothing"),
  cluster: text({
    section: "Options",
    summary: "name of the cluster; without it one is drawn",
    placeholder: "NAME",
    initial: undefined,
    expected: "1 to 32 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit",
    accepts: (value) => NAME_PATTERN.test(value),
  }),
  output: OUTPUT,
  json: JSON_OBJECT,
};

export const mapInit: SubCommand = {
  name: "init",
  usage: "map init --nodes NAME=HOST:PORT,… -o FILE [options]",
  summary: "make the first map of a cluster: its shards divided evenly among the nodes",
  note: "Give the file to every node: parley serve --node NAME --map FILE --cluster-secret-file FILE.",
  options: OPTIONS,
  run: async (args, io) => {
    const options = parseOptions(OPTIONS, args, io.env);
    const output = required(options.output, "-o FILE");
    const owning = readNodes("--nodes", required(options.nodes, "--nodes NAME=HOST:PORT,…"));
    const edges = options.edges === undefined ? [] : readNodes("--edges", options.edges);
    const twice = [...edges].find(([id]) => owning.has(id))?.[0];
    // The map's own checks see equal addresses, and not equal names, which would replace each other.
    if (twice !== undefined) readNodes("--nodes and --edges", `${options.nodes},${options.edges}`);
    const cluster = options.cluster ?? Buffer.from(systemRandom.bytes(CLUSTER_ID_BYTES)).toString("hex");
    const map: PartitionMap = makeMap(cluster, new Map([...owning, ...edges]), [...owning.keys()]);
    mapFrom("the map", writeMap(map));
    mustBeNew(output, "the map");
    await writeMapFile(output, map);
    io.stdout(
      options.json
        ? `${JSON.stringify({ file: output, cluster, mapVersion: map.mapVersion, nodes: [...map.nodes.keys()] })}\n`
        : `${output}: cluster ${cluster}, ${counted(owning.size, "node")}, ${counted([...edges].length, "edge")}\n` +
            "next: start each node with parley serve --node NAME --map FILE --cluster-secret-file FILE --data DIR\n",
    );
    return EXIT_STATUS.ok;
  },
};
