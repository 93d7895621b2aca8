/**
 * The load: a process that its parent calls (remote.ts). Closed loop: every user keeps a number of sends
 * undelivered. Open loop: sends fall due at a given rate whatever the server does, and latency counts from the moment a
 * send was due. The server's CPU time is read here, at the same moments at which messages are counted.
 */
import { Histogram } from "../measure/histogram.ts";
import { Pacer } from "./pacer.ts";
import { serveCalls } from "./remote.ts";
import type { LoadSink, Talker } from "./talker.ts";
import { talkersOf, type Protocol } from "./talkers.ts";
import { readMeter, rounded, usageBetween, type Reading, type Usage } from "../measure/meter.ts";
import { processTreeCpuMs } from "../measure/process-cpu.ts";

export type LoadPair = { first: { user: string; token: string }; second: { user: string; token: string } };
export type LoadTarget = { hostname: string; port: number; serverPid: number; protocol?: Protocol };
/** `users`: how many of them send; all by default. */
export type ClosedLoop = { windowPerUser: number; users?: number; warmUpMs: number; measureMs: number };
export type OpenLoop = { ratePerSecond: number; warmUpMs: number; measureMs: number };

export type LoadFigures = Usage & {
  delivered: number;
  deliveredPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  p999Ms: number;
  maxMs: number;
};

/** How long after the last send its receipt may take before it counts as lost. */
const DRAIN_MS = 30_000;
/**
 * How much longer a measurement may take if not one message was delivered in its time, so that no figure divides by
 * zero.
 */
const LONGER_MS = 20_000;
const KEEP_ALIVE_MS = 10_000;
const CONNECTING_MAX = 32;
const PACE_MS_MAX = 1;
/** A send may leave so much before it is due, or a step that came early by a hair would make it late by a whole step. */
const EARLY_MS = 0.1;

type Counted = Reading & { delivered: number };

export class Load implements LoadSink {
  private users: Talker[] = [];
  private readonly latency = new Histogram();
  private failure: string | undefined;
  private delivered = 0;
  private phase: "away" | "idle" | "closed" | "open" | "draining" = "away";
  /** Latencies count for messages that started in this interval. */
  private measureFrom = 0;
  private measureTo = 0;

  private serverPid = 0;

  constructor(private readonly drainMs = DRAIN_MS) {}

  now(): number {
    return performance.now();
  }

  onFailure(reason: string): void {
    this.failure ??= reason;
  }

  onDelivered(user: Talker, startedAt: number): void {
    this.delivered++;
    const now = performance.now();
    if (startedAt >= this.measureFrom && startedAt < this.measureTo) this.latency.record(now - startedAt);
    if (this.phase === "closed") user.send(now);
  }

  async connect(target: LoadTarget, pairs: LoadPair[], lines: string[]): Promise<void> {
    const newTalker = talkersOf(target.protocol ?? "parley", lines, this);
    for (const [at, pair] of pairs.entries()) {
      const first = newTalker(pair.first, at * 31);
      const second = newTalker(pair.second, at * 31 + 17);
      first.peer = second;
      second.peer = first;
      this.users.push(first, second);
    }
    await this.goTo(target);
  }

  /** All users connect, for the first time or again after `end`. */
  async goTo({ hostname, port, serverPid }: LoadTarget): Promise<void> {
    this.serverPid = serverPid;
    for (let at = 0; at < this.users.length; at += CONNECTING_MAX) {
      await Promise.all(this.users.slice(at, at + CONNECTING_MAX).map((user) => user.connect(hostname, port)));
    }
    this.phase = "idle";
  }

  /** @param sending how many of the users send */
  async closedLoop(
    windowPerUser: number,
    warmUpMs: number,
    measureMs: number,
    sending = this.users.length,
  ): Promise<LoadFigures> {
    this.phase = "closed";
    for (const user of this.users.slice(0, sending)) {
      for (let send = 0; send < windowPerUser; send++) user.send(this.now());
      user.flush();
    }
    const [before, after] = await this.measure(warmUpMs, measureMs);
    await this.drain();
    return this.figures(before, after);
  }

  async openLoop(ratePerSecond: number, warmUpMs: number, measureMs: number): Promise<LoadFigures> {
    this.phase = "open";
    const pacer = new Pacer(Math.min(PACE_MS_MAX, 1000 / ratePerSecond), this.sender(1000 / ratePerSecond));
    try {
      const [before, after] = await this.measure(warmUpMs, measureMs);
      await this.drain();
      return this.figures(before, after);
    } finally {
      pacer.end();
    }
  }

  /** Sends what is due when it is called; the users take turns. */
  private sender(everyMs: number): () => void {
    let began = Number.NaN;
    let due = 0;
    return () => {
      if (this.phase !== "open") return;
      const now = this.now();
      if (Number.isNaN(began)) began = now;
      for (; began + due * everyMs <= now + EARLY_MS; due++) {
        const user = this.users[due % this.users.length] as Talker;
        user.send(Math.min(now, began + due * everyMs));
        user.flush();
      }
    };
  }

  /** How many messages all users have sent since they connected first. */
  get sent(): number {
    return this.users.reduce((sum, user) => sum + user.sent, 0);
  }

  keepAlive(): void {
    if (this.phase === "idle") for (const user of this.users) user.ping();
  }

  end(): void {
    this.phase = "away";
    for (const user of this.users) user.close();
  }

  private async measure(warmUpMs: number, measureMs: number): Promise<[Counted, Counted]> {
    this.latency.clear();
    this.measureFrom = this.measureTo = 0;
    await this.wait(warmUpMs);
    const before = this.reading();
    this.measureFrom = before.at;
    this.measureTo = Number.POSITIVE_INFINITY;
    await this.wait(measureMs);
    const until = this.now() + LONGER_MS;
    while (!this.hasFigures(before)) {
      if (this.now() > until) throw new Error(`nothing was delivered in ${(measureMs + LONGER_MS) / 1000} s`);
      await this.wait(10);
    }
    const after = this.reading();
    this.measureTo = after.at;
    return [before, after];
  }

  /** Whether a message that started since `before` was delivered, and the server has used CPU. */
  private hasFigures(before: Counted): boolean {
    const isDelivered = this.delivered > before.delivered && this.latency.count > 0;
    return isDelivered && processTreeCpuMs(this.serverPid) > before.serverCpuMs;
  }

  private reading(): Counted {
    return { ...readMeter(this.serverPid), delivered: this.delivered };
  }

  /** Sends nothing new. Everything sent must be delivered, and both ends must have counted the same. */
  private async drain(): Promise<void> {
    this.phase = "draining";
    const until = this.now() + this.drainMs;
    while (this.users.some((user) => user.undelivered > 0)) {
      if (this.now() > until) {
        const lost = this.users.reduce((sum, user) => sum + user.undelivered, 0);
        const first = this.users.find((user) => user.undelivered > 0)?.describe() ?? "";
        throw new Error(
          `${lost} messages were not delivered within ${this.drainMs / 1000} s after the last was sent; the first: ` +
            first,
        );
      }
      await this.wait(2);
    }
    for (const user of this.users) {
      if (user.received !== user.peer.sent)
        throw new Error(`${user.name} got ${user.received} messages, ${user.peer.name} sent ${user.peer.sent}`);
    }
    this.phase = "idle";
  }

  private async wait(ms: number): Promise<void> {
    const until = this.now() + ms;
    do {
      await new Promise((resolve) => setTimeout(resolve, Math.min(50, Math.max(1, until - this.now()))));
      if (this.failure !== undefined) throw new Error(this.failure);
    } while (this.now() < until);
  }

  private figures(before: Counted, after: Counted): LoadFigures {
    const delivered = after.delivered - before.delivered;
    const usage = usageBetween(before, after, delivered);
    return {
      ...usage,
      delivered,
      deliveredPerSecond: Math.round(delivered / usage.seconds),
      p50Ms: rounded(this.latency.percentile(50), 3),
      p99Ms: rounded(this.latency.percentile(99), 3),
      p999Ms: rounded(this.latency.percentile(99.9), 3),
      maxMs: rounded(this.latency.maxMs, 3),
    };
  }
}

if (import.meta.main) {
  const load = new Load();
  setInterval(() => load.keepAlive(), KEEP_ALIVE_MS);
  serveCalls(callsOf(load));
}

export type LoadCalls = ReturnType<typeof callsOf>;

function callsOf(load: Load) {
  return {
    connect: ({ pairs, lines, ...target }: { pairs: LoadPair[]; lines: string[] } & LoadTarget) =>
      load.connect(target, pairs, lines),
    sent: (_: object) => load.sent,
    leave: (_: object) => load.end(),
    goTo: (target: LoadTarget) => load.goTo(target),
    closed: ({ windowPerUser, users, warmUpMs, measureMs }: ClosedLoop) =>
      load.closedLoop(windowPerUser, warmUpMs, measureMs, users),
    open: ({ ratePerSecond, warmUpMs, measureMs }: OpenLoop) => load.openLoop(ratePerSecond, warmUpMs, measureMs),
  };
}
