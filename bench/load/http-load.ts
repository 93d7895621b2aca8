/** The load over HTTP: pages, one after another on a few connections, and polls that the server holds. */
import { Histogram } from "../measure/histogram.ts";
import { readMeter, rounded, usageBetween, type Usage } from "../measure/meter.ts";
import { HttpClient } from "./http-client.ts";
import type { LoadTarget } from "./load.ts";
import { serveCalls } from "./remote.ts";

export type Fetching = LoadTarget & { token: string; paths: string[]; connections: number; count: number };
/** `kiB`: of an answer's body, on average. */
export type FetchFigures = Usage & { perSecond: number; p50Ms: number; p99Ms: number; kiB: number };
/** Each user has a connection. */
export type Polls = LoadTarget & { path: string; tokens: string[] };

const AT_ONCE = 64;

/** A new server runs slower at first, so a part of the requests is made before. */
async function fetchAll(fetching: Fetching): Promise<FetchFigures> {
  await fetchSome({ ...fetching, count: Math.ceil(fetching.count / 2) });
  return fetchSome(fetching);
}

async function fetchSome({
  hostname,
  port,
  serverPid,
  token,
  paths,
  connections,
  count,
}: Fetching): Promise<FetchFigures> {
  const clients = await Promise.all(Array.from({ length: connections }, () => HttpClient.connect(hostname, port)));
  const latency = new Histogram();
  let [asked, bytes] = [0, 0];
  const before = readMeter(serverPid);
  const worker = async (client: HttpClient) => {
    for (let at = asked++; at < count; at = asked++) {
      const from = performance.now();
      const { status, body } = await client.request("GET", paths[at % paths.length]!, token);
      latency.record(performance.now() - from);
      if (status !== 200) throw new Error(`${paths[at % paths.length]}: ${status} ${body.toString().slice(0, 300)}`);
      bytes += body.length;
    }
  };
  await Promise.all(clients.map(worker));
  const usage = usageBetween(before, readMeter(serverPid), count);
  for (const client of clients) client.close();
  return {
    ...usage,
    perSecond: Math.round(count / usage.seconds),
    p50Ms: rounded(latency.percentile(50), 3),
    p99Ms: rounded(latency.percentile(99), 3),
    kiB: rounded(bytes / count / 1024, 2),
  };
}

/** Users who poll: first for what is there, then for what comes. */
class Pollers {
  #clients: HttpClient[] = [];
  #polls: Polls | undefined;
  #cursors: string[] = [];
  #answered = 0;
  #failure: string | undefined;

  /** Every user connects and polls once, without waiting. */
  async come(polls: Polls): Promise<void> {
    this.#polls = polls;
    await inBatches(polls.tokens, async (token, at) => {
      this.#clients[at] = await HttpClient.connect(polls.hostname, polls.port);
      const body = '{"cursor":{"epoch":"","timeline":0,"groups":{}},"waitMs":0}';
      const answer = await this.#clients[at].request("POST", polls.path, token, body);
      if (answer.status !== 200)
        throw new Error(`${polls.path}: ${answer.status} ${answer.body.toString().slice(0, 300)}`);
      this.#cursors[at] = JSON.stringify((JSON.parse(answer.body.toString()) as { cursor: object }).cursor);
    });
  }

  /** Every user has a poll under way that nothing answers. */
  hold(): void {
    const { path, tokens } = this.#polls!;
    for (const [at, client] of this.#clients.entries()) {
      const body = `{"cursor":${this.#cursors[at]},"waitMs":60000}`;
      client.request("POST", path, tokens[at]!, body).then(
        ({ status }) => {
          this.#answered++;
          if (status !== 200) this.#failure ??= `a held poll was answered with ${status}`;
        },
        (error: Error) => (this.#failure ??= error.message),
      );
    }
  }

  /** @returns how many of the held polls were answered so far */
  answered(): number {
    if (this.#failure !== undefined) throw new Error(this.#failure);
    return this.#answered;
  }
}

async function inBatches<T>(items: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE)
    await Promise.all(items.slice(from, from + AT_ONCE).map((item, at) => work(item, from + at)));
}

export type HttpCalls = ReturnType<typeof callsOf>;

const callsOf = (pollers: Pollers) => ({
  fetchAll,
  come: (polls: Polls) => pollers.come(polls),
  hold: (_: object) => pollers.hold(),
  answered: (_: object) => pollers.answered(),
});

if (import.meta.main) serveCalls(callsOf(new Pollers()));
