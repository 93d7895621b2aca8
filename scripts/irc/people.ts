/**
 * All users online: a client with its own socket for each user, during the whole import, and the messages that each
 * got.
 */
import { ParleyClient } from "../../src/client/client.ts";
import type { SentFrame, WireAddress } from "../../src/protocol/frames.ts";
import { forEachBounded } from "./bounded.ts";
import { DeviceView } from "./device-view.ts";
import type { Plan } from "./plan.ts";

const CONNECTING_MAX = 64;
/** When a server was away, thousands reconnect at once. This spreads them over a few seconds, and not more. */
const BACKOFF_MS_MAX = 4000;

export type PeopleEvents = {
  /** Called when a message was handed over, or a user is back. */
  progress: () => void;
  live: () => void;
  /** Also called for every failed attempt to reconnect. */
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

  /** Users who are reconnecting, and may still get messages. */
  get offline(): string[] {
    return [...this.persons].flatMap(([user, { client }]) => (client.state === "live" ? [] : [user]));
  }

  get views(): Iterable<[user: string, view: DeviceView]> {
    return [...this.persons].map(([user, person]) => [user, person.view]);
  }

  /** Connects from the start of the history, so that a resumed import also sees its earlier messages. */
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
