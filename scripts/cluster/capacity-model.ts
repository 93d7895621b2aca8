/** How large a cluster has to be for so many people: a model of a few multiplications, each with its name. */
import { SHARD_COUNT } from "../../storage/types.ts";

/** Nodes that a map can have (src/cluster/map/map-file.ts). */
const NODES_MAX = 10_000;
const DAY_S = 86_400;
const YEAR_DAYS = 365;

export type CapacityInput = {
  people: number;
  /** A person and a day. */
  messages: number;
  /** Of text, a message. */
  bytes: number;
  copies: number;
  years: number;
  /** A server. */
  sockets: number;
  /** Sockets that are open at once, in percent of the people. */
  online: number;
  /** The busiest hour's rate over the average. */
  peak: number;
  /** CPU of a server for a message, µs. */
  cpuUs: number;
  /** CPU of a message that crosses nodes, over that of one that does not. */
  clusterCpu: number;
  /** Bytes on disk over bytes of text, with both people's copies and all indexes. */
  diskRatio: number;
  /** Of the frames of a message, without the text: send, sent, message, received, receipt. */
  frameBytes: number;
  socketKib: number;
  userKib: number;
  cores: number;
  /** Of the CPU that is planned to be busy at the peak, percent. */
  busy: number;
  diskTb: number;
};

export type Need = { what: "CPU" | "disk" | "sockets"; nodes: number };

export function capacityOf(input: CapacityInput) {
  const { people, messages, bytes, copies, years, sockets, online, peak } = input;
  const perDay = people * messages;
  const average = perDay / DAY_S;
  const atPeak = average * peak;
  const copyBytes = perDay * YEAR_DAYS * years * bytes * input.diskRatio;
  const openSockets = (people * online) / 100;
  const cores = (atPeak * input.cpuUs * input.clusterCpu) / 1e6 / (input.busy / 100);
  const needs: Need[] = [
    { what: "CPU", nodes: Math.ceil(cores / input.cores) },
    { what: "disk", nodes: Math.ceil((copyBytes * copies) / (input.diskTb * 1e12)) },
    { what: "sockets", nodes: Math.ceil(openSockets / sockets) },
  ];
  // CPU and disk are the owners' of shards; sockets can be at edges too.
  const owning = Math.max(needs[0]!.nodes, needs[1]!.nodes, 1);
  const owners = Math.min(owning, SHARD_COUNT);
  const nodes = Math.max(owners, needs[2]!.nodes);
  return {
    messagesPerDay: perDay,
    messagesPerSecond: { average, peak: atPeak },
    storageBytes: { oneCopy: copyBytes, allCopies: copyBytes * copies, perShard: copyBytes / SHARD_COUNT },
    bandwidthBitsAtPeak: {
      clients: atPeak * (2 * bytes + input.frameBytes) * 8,
      // Relayed from an edge to the home and from home to home, and once more for each further copy.
      betweenNodes: atPeak * (2 * bytes + input.frameBytes + bytes * (copies - 1)) * 8,
    },
    sockets: openSockets,
    shards: { count: SHARD_COUNT, messagesPerSecondAtPeak: atPeak / SHARD_COUNT, coresAtPeak: cores / SHARD_COUNT },
    needs,
    owners,
    edges: nodes - owners,
    nodes,
    memoryBytesPerNode: ((openSockets / nodes) * input.socketKib + (people / owners) * input.userKib) * 1024,
    limitsFirst: limitOf(needs, owning, nodes, cores),
  };
}

/** What has to change first, in words. */
function limitOf(needs: readonly Need[], owning: number, nodes: number, cores: number): string {
  if (cores > SHARD_COUNT) return `a shard needs ${(cores / SHARD_COUNT).toFixed(1)} cores, and one thread serves it`;
  const most = needs.reduce((worst, need) => (need.nodes > worst.nodes ? need : worst));
  if (owning > SHARD_COUNT) {
    const ofOwners = needs[0]!.nodes > needs[1]!.nodes ? "CPU" : "disk";
    return `${ofOwners}: ${owning} nodes would own shards, and there are ${SHARD_COUNT} shards; give each node more`;
  }
  if (nodes > NODES_MAX) return `the map: ${nodes} nodes, and it holds ${NODES_MAX}`;
  return `${most.what}: it decides the number of nodes`;
}
