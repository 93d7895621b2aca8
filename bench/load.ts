/**
 * The load: a process that is controlled by messages of its parent. Closed loop: every user keeps a number of sends
 * undelivered. Open loop: sends fall due at a given rate whatever the server does, and latency counts from the moment a
 * send was due. The server's CPU time is read here, at the same moments at which messages are counted.
 */
import { Histogram } from "./histogram.ts";
import { LoadUser, shareTexts, type LoadSink } from "./load-user.ts";
import { processCpuMs } from "./process-cpu.ts";

export type LoadPair = { first: { user: string; token: string }; second: { user: string; token: string } };
export type LoadTarget = { hostname: string; port: number; serverPid: number };
export type LoadCommand =
  | ({ do: "connect"; pairs: LoadPair[]; lines: string[] } & LoadTarget)
  | { do: "leave" }
  | ({ do: "return" } & LoadTarget)
  | { do: "closed"; windowPerUser: number; warmUpMs: number; measureMs: number }
  | { do: "open"; ratePerSecond: number; warmUpMs: number; measureMs: number }
  | { do: "end" };

export type LoadFigures = {
  delivered: number;
  seconds: number;
  deliveredPerSecond: number;
  serverCpuMicros: number;
  loadCpuMicros: number;
  /** CPU time over elapsed time: how many cores were busy. */
  serverCores: number;
  loadCores: number;
  p50Ms: number;
  p99Ms: number;
  p999Ms: number;
  maxMs: number;
};
export type LoadReply = { is: "ready" } | { is: "figures"; figures: LoadFigures } | { is: "failed"; reason: string };

/** How long after the last send its receipt may take before it counts as lost. */
const DRAIN_MS = 15_000;
/**
 * How much longer a measurement may take if not one message was delivered in its time, so that no figure divides by
 * zero.
 */
const LONGER_MS = 10_000;
const KEEP_ALIVE_MS = 10_000;
const CONNECTING_MAX = 32;

type Reading = { at: number; delivered: number; serverCpuMs: number; loadCpuMs: number };

export class Load implements LoadSink {
  private users: LoadUser[] = [];
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

  onDelivered(user: LoadUser, startedAt: number): void {
    this.delivered++;
    const now = performance.now();
    if (startedAt >= this.measureFrom && startedAt < this.measureTo) this.latency.record(now - startedAt);
    if (this.phase === "closed") user.send(now);
  }

  async connect(target: LoadTarget, pairs: LoadPair[], lines: string[]): Promise<void> {
    const texts = shareTexts(lines);
    for (const [at, pair] of pairs.entries()) {
      const first = new LoadUser(pair.first.user, pair.first.token, at * 31, texts, this);
      const second = new LoadUser(pair.second.user, pair.second.token, at * 31 + 17, texts, this);
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

  async closedLoop(windowPerUser: number, warmUpMs: number, measureMs: number): Promise<LoadFigures> {
    this.phase = "closed";
    for (const user of this.users) {
      for (let send = 0; send < windowPerUser; send++) user.send(this.now());
      user.flush();
    }
    const [before, after] = await this.measure(warmUpMs, measureMs);
    await this.drain();
    return this.figures(before, after);
  }

  async openLoop(ratePerSecond: number, warmUpMs: number, measureMs: number): Promise<LoadFigures> {
    this.phase = "open";
    const began = this.now();
    const everyMs = 1000 / ratePerSecond;
    let due = 0;
    const sendDue = () => {
      if (this.phase !== "open") return;
      const now = this.now();
      for (; began + due * everyMs <= now; due++) {
        const user = this.users[due % this.users.length] as LoadUser;
        user.send(began + due * everyMs);
        user.flush();
      }
      setTimeout(sendDue, 1);
    };
    sendDue();
    const [before, after] = await this.measure(warmUpMs, measureMs);
    await this.drain();
    return this.figures(before, after);
  }

  keepAlive(): void {
    if (this.phase === "idle") for (const user of this.users) user.ping();
  }

  end(): void {
    this.phase = "away";
    for (const user of this.users) user.close();
  }

  private async measure(warmUpMs: number, measureMs: number): Promise<[Reading, Reading]> {
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
  private hasFigures(before: Reading): boolean {
    const isDelivered = this.delivered > before.delivered && this.latency.count > 0;
    return isDelivered && processCpuMs(this.serverPid) > before.serverCpuMs;
  }

  private reading(): Reading {
    const own = process.cpuUsage();
    return {
      at: this.now(),
      delivered: this.delivered,
      serverCpuMs: processCpuMs(this.serverPid),
      loadCpuMs: (own.user + own.system) / 1000,
    };
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

  private figures(before: Reading, after: Reading): LoadFigures {
    const delivered = after.delivered - before.delivered;
    const seconds = (after.at - before.at) / 1000;
    const serverCpuMs = after.serverCpuMs - before.serverCpuMs;
    const loadCpuMs = after.loadCpuMs - before.loadCpuMs;
    return {
      delivered,
      seconds: round(seconds, 3),
      deliveredPerSecond: Math.round(delivered / seconds),
      serverCpuMicros: round((serverCpuMs * 1000) / delivered, 2),
      loadCpuMicros: round((loadCpuMs * 1000) / delivered, 2),
      serverCores: round(serverCpuMs / 1000 / seconds, 3),
      loadCores: round(loadCpuMs / 1000 / seconds, 3),
      p50Ms: round(this.latency.percentile(50), 3),
      p99Ms: round(this.latency.percentile(99), 3),
      p999Ms: round(this.latency.percentile(99.9), 3),
      maxMs: round(this.latency.maxMs, 3),
    };
  }
}

const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;

async function answer(
  load: Load | undefined,
  command: LoadCommand,
): Promise<{ load: Load | undefined; reply?: LoadReply }> {
  if (command.do === "connect") {
    const connected = new Load();
    await connected.connect(command, command.pairs, command.lines);
    setInterval(() => connected.keepAlive(), KEEP_ALIVE_MS);
    return { load: connected, reply: { is: "ready" } };
  }
  if (load === undefined || command.do === "end") {
    load?.end();
    process.exit(0);
  }
  if (command.do === "leave" || command.do === "return") {
    if (command.do === "leave") load.end();
    else await load.goTo(command);
    return { load, reply: { is: "ready" } };
  }
  const { warmUpMs, measureMs } = command;
  const figures =
    command.do === "closed"
      ? await load.closedLoop(command.windowPerUser, warmUpMs, measureMs)
      : await load.openLoop(command.ratePerSecond, warmUpMs, measureMs);
  return { load, reply: { is: "figures", figures } };
}

if (import.meta.main) {
  let load: Load | undefined;
  const reply = (message: LoadReply) => process.send?.(message);
  process.on("message", (command: LoadCommand) => {
    answer(load, command).then(
      (answered) => {
        load = answered.load;
        if (answered.reply !== undefined) reply(answered.reply);
      },
      (error: Error) => reply({ is: "failed", reason: error.message }),
    );
  });
  process.on("disconnect", () => process.exit(0));
}
