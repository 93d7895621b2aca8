/** Everybody online: a client with a socket of its own for each user, for the whole import, and what each was handed. */
import { ParleyClient } from "../../src/client/client.ts";
import type { SentFrame, WireAddress } from "../../src/protocol/frames.ts";
import { forEachBounded } from "./bounded.ts";
import { DeviceView } from "./device-view.ts";
import type { Plan } from "./plan.ts";

const CONNECTING_MAX = 64;
/** Thousands come back at once when a server was away: spread over a few seconds, and no longer. */
const BACKOFF_MS_MAX = 4000;

export type PeopleEvents = {
  /** A message was handed over, or somebody is back. */
  progress: () => void;
  live: () => void;
  /** Also for every attempt to come back that failed. */
  offline: () => void;
};

type Person = { client: ParleyClient; view: DeviceView };

export class People {
  private readonly persons = new Map<string, Person>();
  private delivered = 0;

  constructor(
    private readonly url: string,
    private readonly tokens: Map<string, string>,
    private readonly conversationsOf: Map<string, Set<WireAddress>>,
    private readonly events: PeopleEvents,
  ) {}

  get deliveries(): number {
    return this.delivered;
  }

  /** Who is on the way back, and so may yet be handed something. */
  get offline(): string[] {
    return [...this.persons].flatMap(([user, { client }]) => (client.state === "live" ? [] : [user]));
  }

  get views(): Iterable<[user: string, view: DeviceView]> {
    return [...this.persons].map(([user, person]) => [user, person.view]);
  }

  /** From the start of everything, so that an import that was broken off sees its earlier messages too. */
  async connect(users: Plan["users"], onConnected: () => void): Promise<void> {
    await forEachBounded(users, CONNECTING_MAX, async (user) => {
      const person = this.person(user.id);
      this.persons.set(user.id, person);
      await person.client.connect();
      onConnected();
    });
  }

  send(from: string, to: WireAddress, text: string, ref: string): Promise<SentFrame> {
    const person = this.persons.get(from);
    if (person === undefined) throw new Error(`${from} is not connected`);
    return person.client.send({ to, text, ref });
  }

  async close(): Promise<void> {
    await forEachBounded(this.persons.values(), CONNECTING_MAX, (person) => person.client.close());
  }

  private person(user: string): Person {
    const view = new DeviceView(user, this.conversationsOf.get(user) ?? [], false);
    const client = new ParleyClient({
      url: this.url,
      token: this.tokens.get(user) ?? "",
      from: "start",
      retryFirst: true,
      transport: "socket",
      backoffMaxMs: BACKOFF_MS_MAX,
      onEvent: (event) => {
        if (event.type === "offline") this.events.offline();
        if (event.type !== "live") return;
        this.events.live();
        this.events.progress();
      },
      onMessage: (message) => {
        if (!view.take(message)) return;
        this.delivered++;
        this.events.progress();
      },
    });
    return { client, view };
  }
}
