/** The peers' figures for people. */
import type { Chart, Outcome, Table } from "../bench.ts";
import type { LoadFigures } from "../load/load.ts";
import { formatFigure, formatFigures, median, rangeOf, type Range } from "../measure/ranges.ts";
import { ratioOf } from "../measure/rounds.ts";
import type { LeftOut, MeasuredPeer, MeasuredPeers } from "./measure.ts";

type Key = "deliveredPerSecond" | "serverCpuMicros" | "p50Ms" | "p99Ms" | "loadCpuMicros" | "loadCores";
type SideName = keyof MeasuredPeer["rounds"];

/** Medians and ranges over the rounds. */
export type PeerFigures = {
  /** Parley's delivered messages a second over the peer's. */
  throughputRatio: Range;
  /** The peer's server CPU a message over Parley's. */
  peerCpuRatio: Range;
};

export function ratiosOf({ rounds: { parley, peer } }: Pick<MeasuredPeer, "rounds">): PeerFigures {
  return {
    throughputRatio: ratioOf(valuesOf(parley, "deliveredPerSecond"), valuesOf(peer, "deliveredPerSecond")),
    peerCpuRatio: ratioOf(valuesOf(peer, "serverCpuMicros"), valuesOf(parley, "serverCpuMicros")),
  };
}

const valuesOf = (rounds: readonly LoadFigures[], key: Key): number[] => rounds.map((figures) => figures[key]);
const cell = (rounds: readonly LoadFigures[], key: Key): string => formatFigures(rangeOf(valuesOf(rounds, key)));
const middle = (rounds: readonly LoadFigures[], key: Key): string => formatFigure(median(valuesOf(rounds, key)));

export function peersOutcome(measured: MeasuredPeers): Outcome {
  const { peers, leftOut } = measured;
  return {
    finding: findingOf(measured),
    durable:
      "Parley says sent when the message is on disk (O_DSYNC), for sender and receiver. What the ack of a peer means " +
      "is in its note: only those with SQLite sync what they stored.",
    notes: [...leftOut.map(leftOutText), ...peers.map(noteOf), ...ceilingNotes(peers)],
    aims: [],
    tables: peers.length === 0 ? [] : [closedTable(peers), latencyTable(peers)],
    charts: peers.length === 0 ? [] : charts(peers),
    figures: { peers: peers.map((peer) => ({ ...peer, ...ratiosOf(peer) })), leftOut },
  };
}

function findingOf({ peers, leftOut }: MeasuredPeers): string {
  const parts = [
    ...(peers.length === 0 ? [] : [throughputText(peers), cpuText(peers)]),
    ...(leftOut.length === 0 ? [] : [`LEFT OUT: ${leftOut.map(({ title }) => title).join("; ")}.`]),
  ];
  return parts.join(" ");
}

function throughputText(peers: readonly MeasuredPeer[]): string {
  const named = peers.map((peer) => `${peer.title} ${formatFigure(ratiosOf(peer).throughputRatio.median)}`);
  return `Parley's messages a second over the peer's: ${named.join("; ")}.`;
}

function cpuText(peers: readonly MeasuredPeer[]): string {
  const { min, max } = rangeOf(peers.map((peer) => ratiosOf(peer).peerCpuRatio.median));
  return `A message costs the peers ${formatFigure(min)} to ${formatFigure(max)} times Parley's server CPU.`;
}

const leftOutText = ({ title, why, remedy }: LeftOut): string =>
  `LEFT OUT: ${title}: ${why}${remedy === undefined ? "" : ` (${remedy})`}.`;

function noteOf({ title, version, settings, ack, rounds: { peer }, sent, stored }: MeasuredPeer): string {
  const kept = stored === undefined ? "" : `, ${stored} found in its store`;
  return (
    `${title} (${version}). Settings: ${settings}. Delivered means: ${ack}. ${sent} messages sent, none lost${kept}. ` +
    `The load was busy on ${middle(peer, "loadCores")} cores.`
  );
}

/** The load's own limit with each protocol, from its cheapest round. With a slow server it mostly pays for waiting. */
function ceilingNotes(peers: readonly MeasuredPeer[]): string[] {
  return [...new Set(peers.map(({ protocol }) => protocol))].map((protocol) => {
    const rounds = peers.filter((peer) => peer.protocol === protocol).flatMap(({ rounds: { peer } }) => peer);
    const micros = Math.min(...valuesOf(rounds, "loadCpuMicros"));
    return (
      `The load's own ceiling with ${protocol}: it spent ${micros.toFixed(1)} µs of CPU on a message in its cheapest ` +
      `round, so it could do at least ${Math.round(1e6 / micros)} a second with a core of its own. With slow servers ` +
      "most of that CPU goes into waiting."
    );
  });
}

function closedTable(peers: readonly MeasuredPeer[]): Table {
  const rows = peers.map((peer) => {
    const { throughputRatio, peerCpuRatio } = ratiosOf(peer);
    const { rounds } = peer;
    return [
      peer.title,
      cell(rounds.peer, "deliveredPerSecond"),
      cell(rounds.parley, "deliveredPerSecond"),
      formatFigures(throughputRatio),
      cell(rounds.peer, "serverCpuMicros"),
      cell(rounds.parley, "serverCpuMicros"),
      formatFigures(peerCpuRatio),
    ];
  });
  const columns = ["delivered/s", "Parley's", "Parley's over it", "CPU µs", "Parley's", "it over Parley's"];
  return {
    title: "Closed loop: delivered messages and server CPU a message",
    columns: ["median (min–max)", ...columns],
    rows,
  };
}

function latencyTable(peers: readonly MeasuredPeer[]): Table {
  const rows = peers.map(({ title, rounds, open }) => [
    title,
    ...latencies(rounds.peer),
    ...latencies(rounds.parley),
    `${open.ratePerSecond}/s`,
    ...latencies(open.rounds.peer),
    ...latencies(open.rounds.parley),
  ]);
  const both = ["p50", "p99", "Parley's p50", "p99"];
  return {
    title:
      "From the send until the sender has the receipt, ms (medians): closed loop, and open loop at the rate of both",
    columns: ["", ...both, "rate", ...both],
    rows,
  };
}

const latencies = (rounds: readonly LoadFigures[]): string[] => [middle(rounds, "p50Ms"), middle(rounds, "p99Ms")];

function charts(peers: readonly MeasuredPeer[]): Chart[] {
  const x = { label: "", names: peers.map(({ title }) => title) };
  const series = (key: Key) =>
    (["peer", "parley"] as const).map((side: SideName) => ({
      name: side === "peer" ? "peer" : "Parley in the same rounds",
      points: peers.map(({ rounds }, at) => ({ x: at, y: rangeOf(valuesOf(rounds[side], key)) })),
    }));
  return [
    {
      title: "Peers: delivered messages a second",
      how: "Higher is better. The same load on each, in turns with Parley.",
      x,
      y: { label: "messages a second", isLog: true },
      series: series("deliveredPerSecond"),
    },
    {
      title: "Peers: server CPU a delivered message",
      how: "Lower is better. All processes of the server.",
      x,
      y: { label: "µs", isLog: true },
      series: series("serverCpuMicros"),
    },
  ];
}
