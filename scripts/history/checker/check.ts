/** Decides G1 to G9 of a history, line by line; what needs the whole of it, at the end. */
import type { Header, HistoryLine } from "../format.ts";
import { HistoryError } from "../parse-line.ts";
import { Calls } from "./calls.ts";
import { Connections } from "./connections.ts";
import type { Guarantee, World } from "./guarantee.ts";
import { durable } from "./guarantees/g1-g5-durable.ts";
import { exactlyOnce } from "./guarantees/g2-exactly-once.ts";
import { holes } from "./guarantees/g3-g7-g9-holes.ts";
import { oneOrder } from "./guarantees/g4-one-order.ts";
import { noPhantoms } from "./guarantees/g5-no-phantoms.ts";
import { receiptsAreTrue } from "./guarantees/g6-receipts-are-true.ts";
import { handedOver } from "./guarantees/g8-handed-over.ts";
import { Logs } from "./logs.ts";
import { Messages } from "./messages.ts";
import { People } from "./people.ts";
import { Sends } from "./sends.ts";
import { Sightings } from "./sightings.ts";
import { GUARANTEES, Violations, type GuaranteeName, type Violation } from "./violations.ts";

export type Report = {
  violations: Violation[];
  /** All that were found, of which `violations` has the first. */
  counts: Record<GuaranteeName, number>;
  found: number;
  settled: boolean;
  /** How much was checked, so that an empty history does not pass for a good one. */
  checked: Record<string, number>;
};

export class HistoryCheck {
  readonly #world: World;
  readonly #guarantees: readonly Guarantee[];
  readonly #sends: Sends;
  readonly #connections: Connections;
  readonly #calls: Calls;
  #settled = false;
  #lines = 1;

  constructor(header: Header) {
    const world = {
      header,
      people: new People(),
      logs: new Logs(),
      messages: new Messages(),
      violations: new Violations(),
    };
    this.#world = world;
    this.#guarantees = [durable, exactlyOnce, holes, oneOrder, noPhantoms, receiptsAreTrue, handedOver].map((decide) =>
      decide(world),
    );
    const sightings = new Sightings(world, this.#guarantees);
    this.#sends = new Sends(world, this.#guarantees, sightings);
    this.#connections = new Connections(world, this.#guarantees, this.#sends, sightings);
    this.#calls = new Calls(world, this.#guarantees, this.#sends, sightings);
  }

  /** @throws HistoryError */
  take(line: HistoryLine, number: number): void {
    this.#lines = number;
    switch (line.is) {
      case "open":
        return this.#connections.opened(line, number);
      case "out":
        return this.#connections.sent(line, number);
      case "in":
        return this.#connections.got(line, number);
      case "close":
        return this.#connections.closed(line, number);
      case "call":
        return this.#calls.called(line, number);
      case "answer":
        return this.#calls.answered(line, number);
      case "lost":
        return this.#calls.lost(line, number);
      case "end":
        this.#settled = line.settled;
        return;
      default:
        throw new HistoryError(`line ${number}: is: unknown`);
    }
  }

  finish(): Report {
    if (this.#settled) this.#connections.end();
    for (const guarantee of this.#guarantees) guarantee.end?.(this.#settled);
    const { violations, logs, people } = this.#world;
    const kept = violations.finish();
    const { counts } = violations;
    const found = GUARANTEES.reduce((sum, name) => sum + counts[name], 0);
    let entries = 0;
    for (const log of logs.all()) entries += log.places.size;
    const checked = {
      ...{ lines: this.#lines, users: people.size, ...this.#connections.counts },
      ...{ ...this.#calls.counts, ...this.#sends.counts, entries },
    };
    return { violations: kept, counts, found, settled: this.#settled, checked };
  }
}
