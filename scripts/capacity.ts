/** `bun scripts/capacity.ts`: how large a cluster has to be for so many people and messages, and what limits first. */
import { EXIT_STATUS, FatalError } from "../src/cli/fatal-error.ts";
import { isHelp } from "../src/cli/command.ts";
import { commandHelp } from "../src/cli/help.ts";
import { flag, parseOptions, type OptionSpec } from "../src/cli/options.ts";
import { formatBytes, formatCount, table } from "../src/cli/tool-options.ts";
import { capacityOf } from "./cluster/capacity-model.ts";

const number = (section: string, summary: string, initial: number, max = 1e12): OptionSpec<number> => ({
  section,
  summary,
  placeholder: "N",
  initial,
  expected: `a number above 0, at most ${max}`,
  read: (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
    return value > 0 && value <= max ? value : undefined;
  },
});

const WANTED = "What is wanted";
const MEASURED = "Costs; the default was measured by the bench (README.md)";
const AIM = "Costs; the default is an aim of the bench (bench/README.md)";
const ASSUMED = "Assumptions; measure your own";

const OPTIONS = {
  people: number(WANTED, "people a day", 500_000_000),
  messages: number(WANTED, "messages a person and day", 40),
  bytes: number(WANTED, "bytes of text a message", 100),
  copies: number(WANTED, "copies of everything", 3, 100),
  years: number(WANTED, "years that messages are kept", 5, 1000),
  sockets: number(WANTED, "sockets a server", 50_000),
  cpuUs: number(MEASURED, "server CPU of a message on one node, µs (bench e2e)", 32.3),
  diskRatio: number(MEASURED, "bytes on disk over bytes of text, for both people (bench storage)", 0.9),
  userKib: number(AIM, "memory of a user who was touched, KiB (bench growth)", 6),
  clusterCpu: number(ASSUMED, "CPU of a message between nodes, over that on one", 2, 100),
  socketKib: number(ASSUMED, "memory of a socket, KiB, the kernel's part included", 16),
  frameBytes: number(ASSUMED, "bytes of a message's five frames, without text", 500),
  online: number(ASSUMED, "open sockets in percent of the people", 100, 1000),
  peak: number(ASSUMED, "rate of the busiest hour over the average", 3, 1000),
  busy: number(ASSUMED, "percent of the CPU that may be busy at the peak", 50, 100),
  cores: number(ASSUMED, "cores a node", 2, 1024),
  diskTb: number(ASSUMED, "terabytes a node", 16, 1e6),
  json: flag({ section: "Output", summary: "one JSON object" }),
};

const COMMAND = {
  name: "capacity",
  usage: "capacity [options]",
  summary: "compute storage, bandwidth, shards, nodes and memory, and what limits first",
  note: "The model is scripts/cluster/capacity-model.ts: a few multiplications. It says nothing about what was not measured.",
  options: OPTIONS,
  run: () => Promise.resolve(EXIT_STATUS.ok),
};

const bits = (value: number): string => `${(value / 1e9).toFixed(1)} Gbit/s`;
const tenth = (value: number): string => (value >= 100 ? formatCount(Math.round(value)) : value.toFixed(2));
const disk = (value: number): string => (value >= 1e12 ? `${tenth(value / 1e12)} TB` : formatBytes(value));

function asText(result: ReturnType<typeof capacityOf>): string {
  const { messagesPerSecond, storageBytes, bandwidthBitsAtPeak, shards, needs } = result;
  const rows = [
    ["messages a day", formatCount(Math.round(result.messagesPerDay))],
    ["messages a second", `${tenth(messagesPerSecond.average)}, ${tenth(messagesPerSecond.peak)} at the peak`],
    ["storage", `${disk(storageBytes.oneCopy)} one copy, ${disk(storageBytes.allCopies)} all copies`],
    [
      "bandwidth at the peak",
      `${bits(bandwidthBitsAtPeak.clients)} clients, ${bits(bandwidthBitsAtPeak.betweenNodes)} between nodes`,
    ],
    [
      "a shard",
      `${tenth(shards.messagesPerSecondAtPeak)} messages/s, ${tenth(shards.coresAtPeak)} cores at the peak, ${disk(storageBytes.perShard)}`,
    ],
    ["open sockets", formatCount(Math.round(result.sockets))],
    ...needs.map(({ what, nodes }) => [`nodes for ${what}`, formatCount(nodes)]),
    ["nodes", `${formatCount(result.owners)} that own shards, ${formatCount(result.edges)} edges`],
    ["memory a node", formatBytes(result.memoryBytesPerNode)],
    ["limits first", result.limitsFirst],
  ];
  return table(rows);
}

try {
  const args = process.argv.slice(2);
  if (args.some(isHelp)) {
    process.stdout.write(
      commandHelp(COMMAND, { program: "bun scripts/capacity.ts #", columns: process.stdout.columns }),
    );
  } else {
    const { json, ...input } = parseOptions(OPTIONS, args, {});
    const result = capacityOf(input);
    process.stdout.write(json ? `${JSON.stringify({ input, ...result })}\n` : asText(result));
  }
} catch (error) {
  if (!(error instanceof FatalError)) throw error;
  process.stderr.write(`capacity: ${error.message}; see --help\n`);
  process.exit(error.exitStatus);
}
