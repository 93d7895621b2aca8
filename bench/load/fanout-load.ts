/**
 * The load of fan-out: members of groups on one server. Authors take turns to post. A post is complete when its author
 * has `sent` and every other member has the message; then the next one begins. Members confirm nothing, so that the
 * cost of passing messages on is measured alone.
 */
import { Histogram } from "../measure/histogram.ts";
import { readMeter, rounded, usageBetween, type Reading, type Usage } from "../measure/meter.ts";
import { FanoutMember } from "./fanout-member.ts";
import type { LoadTarget } from "./load.ts";
import { serveCalls } from "./remote.ts";

/** Member number N is in every group that has more than N members. */
export type FanoutUsers = LoadTarget & {
  users: { user: string; token: string }[];
  groups: { address: string; members: number }[];
  lines: string[];
};
export type FanoutRound = { address: string; inFlight: number; warmUpMs: number; measureMs: number };
/** Counted are delivered messages. */
export type FanoutFigures = Usage & {
  posts: number;
  delivered: number;
  deliveredPerSecond: number;
  /** From the send until the last member has it. */
  p50Ms: number;
  p99Ms: number;
};

/** Authors of a group. Each has a rate limit, so there are many. */
const AUTHORS_MAX = 64;
const DRAIN_MS = 15_000;
const CONNECTING_MAX = 32;
const KEEP_ALIVE_MS = 10_000;

type Post = { startedAt: number; text: string };
/** What is known of a message, by its seq. */
type Arrival = { post: Post | undefined; receivers: number; text: string };

export class FanoutLoad {
  #members: FanoutMember[] = [];
  #lines: string[] = [];
  #sizes = new Map<string, number>();
  #serverPid = 0;
  readonly #latency = new Histogram();
  readonly #posts = new Map<string, Post>();
  readonly #arrivals = new Map<number, Arrival>();
  #address = "";
  #refs = 0;
  #completed = 0;
  #isPosting = false;
  #failure: string | undefined;
  readonly #drainMs: number;

  /** @param drainMs how long the last posts may take before they count as lost */
  constructor(drainMs = DRAIN_MS) {
    this.#drainMs = drainMs;
  }

  async connect({ hostname, port, serverPid, users, groups, lines }: FanoutUsers): Promise<void> {
    this.#serverPid = serverPid;
    this.#lines = lines;
    this.#sizes = new Map(groups.map(({ address, members }) => [address, members]));
    this.#members = users.map(({ user, token }, at) => {
      const ids = groups.filter(({ members }) => at < members).map(({ address }) => address);
      return new FanoutMember(user, token, ids, this);
    });
    for (let at = 0; at < this.#members.length; at += CONNECTING_MAX) {
      await Promise.all(this.#members.slice(at, at + CONNECTING_MAX).map((member) => member.connect(hostname, port)));
    }
  }

  async round({ address, inFlight, warmUpMs, measureMs }: FanoutRound): Promise<FanoutFigures> {
    this.#address = address;
    this.#isPosting = true;
    for (let post = 0; post < inFlight; post++) this.#post();
    await this.#wait(() => true, warmUpMs);
    const before = readMeter(this.#serverPid);
    const completed = this.#completed;
    this.#latency.clear();
    await this.#wait(() => this.#completed > completed, measureMs);
    const figures = this.#figures(before, readMeter(this.#serverPid), this.#completed - completed);
    this.#isPosting = false;
    const until = performance.now() + this.#drainMs;
    while (this.#arrivals.size + this.#posts.size > 0) {
      if (performance.now() > until) throw new Error(`${address}: ${this.#posts.size} posts did not reach all members`);
      await this.#wait(() => true, 2);
    }
    return figures;
  }

  end(): void {
    for (const member of this.#members) member.close();
  }

  keepAlive(): void {
    if (!this.#isPosting) for (const member of this.#members) member.ping();
  }

  onSent(ref: string, seq: number): void {
    const post = this.#posts.get(ref);
    if (post === undefined) return this.fail(`sent for ${ref}, which nobody waits for`);
    const arrival = this.#arrivalOf(seq);
    arrival.post = post;
    this.#posts.delete(ref);
    this.#look(seq, arrival);
  }

  /** @param text of some messages, else "" */
  onMessage(seq: number, text: string): void {
    const arrival = this.#arrivalOf(seq);
    arrival.receivers++;
    if (text !== "") arrival.text = text;
    this.#look(seq, arrival);
  }

  fail(reason: string): void {
    this.#failure ??= reason;
  }

  #arrivalOf(seq: number): Arrival {
    const known = this.#arrivals.get(seq);
    if (known !== undefined) return known;
    const fresh: Arrival = { post: undefined, receivers: 0, text: "" };
    this.#arrivals.set(seq, fresh);
    return fresh;
  }

  #look(seq: number, { post, receivers, text }: Arrival): void {
    if (post === undefined || receivers < this.#sizes.get(this.#address)! - 1) return;
    this.#arrivals.delete(seq);
    if (text !== "" && text !== post.text) this.fail(`message ${seq} is ${text}, not ${post.text}`);
    this.#completed++;
    this.#latency.record(performance.now() - post.startedAt);
    if (this.#isPosting) this.#post();
  }

  #post(): void {
    const at = this.#refs++;
    const ref = `f-${at}`;
    const text = this.#lines[at % this.#lines.length]!;
    const author = this.#members[at % Math.min(AUTHORS_MAX, this.#sizes.get(this.#address)!)]!;
    this.#posts.set(ref, { startedAt: performance.now(), text });
    author.post(ref, this.#address, text);
  }

  #figures(before: Reading, after: Reading, posts: number): FanoutFigures {
    const delivered = posts * (this.#sizes.get(this.#address)! - 1);
    const usage = usageBetween(before, after, delivered);
    return {
      ...usage,
      posts,
      delivered,
      deliveredPerSecond: Math.round(delivered / usage.seconds),
      p50Ms: rounded(this.#latency.percentile(50), 3),
      p99Ms: rounded(this.#latency.percentile(99), 3),
    };
  }

  /** At least so long, and until it holds. */
  async #wait(holds: () => boolean, ms: number): Promise<void> {
    const from = performance.now();
    do {
      await new Promise((resolve) => setTimeout(resolve, Math.min(20, Math.max(1, ms))));
      if (this.#failure !== undefined) throw new Error(this.#failure);
      if (performance.now() - from > ms + this.#drainMs) throw new Error(`${this.#address}: no post was completed`);
    } while (performance.now() - from < ms || !holds());
  }
}

export type FanoutCalls = ReturnType<typeof callsOf>;

const callsOf = (load: FanoutLoad) => ({
  connect: (users: FanoutUsers) => load.connect(users),
  round: (round: FanoutRound) => load.round(round),
});

if (import.meta.main) {
  const load = new FanoutLoad();
  setInterval(() => load.keepAlive(), KEEP_ALIVE_MS);
  serveCalls(callsOf(load));
}
