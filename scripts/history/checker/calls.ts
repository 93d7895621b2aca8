/** Takes in HTTP calls: messages posted, long poll, and pages. What other calls do shows in frames and pages. */
import type { AnswerLine, CallLine, LostLine } from "../format.ts";
import { HistoryError } from "../parse-line.ts";
import type { Guarantee, Try, World } from "./guarantee.ts";
import { hasAll } from "./connections.ts";
import { readPage, type Answered } from "./pages.ts";
import type { Knowledge, Person } from "./people.ts";
import { streamPositions } from "./position.ts";
import { Reading } from "./reading.ts";
import type { Sends } from "./sends.ts";
import type { EntryFields, Sightings } from "./sightings.ts";

type Call = {
  line: number;
  person: Person;
  device: string;
  path: string;
  body: Record<string, unknown>;
  before: Knowledge | undefined;
  tried: Try | undefined;
};

const SYNC = "/v1/sync";
const READS = /^\/v1\/(entries|conversations)\b/;

export class Calls {
  readonly counts = { calls: 0, polls: 0, pages: 0 };
  readonly #waiting = new Map<number, Call>();
  readonly #used = new Set<number>();
  readonly #world: World;
  readonly #guarantees: readonly Guarantee[];
  readonly #sends: Sends;
  readonly #sightings: Sightings;

  constructor(world: World, guarantees: readonly Guarantee[], sends: Sends, sightings: Sightings) {
    this.#world = world;
    this.#guarantees = guarantees;
    this.#sends = sends;
    this.#sightings = sightings;
  }

  called({ call, user, device, method, path, body, at = 0 }: CallLine, line: number): void {
    if (this.#used.has(call)) throw new HistoryError(`line ${line}: call ${call} was made before`);
    this.#used.add(call);
    this.counts.calls++;
    const person = this.#world.people.of(user);
    const fields = objectOf(body);
    const isReading = (method === "POST" && path === SYNC) || (method === "GET" && READS.test(path));
    const before = isReading ? person.knowledge(line) : undefined;
    const cursor = path === SYNC ? streamPositions(fields["cursor"]) : undefined;
    if (cursor !== undefined) hasAll(person, cursor);
    const tried = method === "POST" && path === "/v1/messages" ? this.#posted(person, fields, line, at) : undefined;
    this.#waiting.set(call, { line, person, device, path, body: fields, before, tried });
  }

  answered({ call, status, body }: AnswerLine, line: number): void {
    const waiting = this.#of(call, line);
    const answer = objectOf(body);
    const { tried, before } = waiting;
    if (tried !== undefined) return this.#postAnswered(waiting.person, tried, status, answer, line);
    if (before === undefined || status !== 200) return;
    if (waiting.path === SYNC) return this.#synced({ ...waiting, before }, answer, line);
    this.counts.pages++;
    const parts = { world: this.#world, guarantees: this.#guarantees, sightings: this.#sightings };
    readPage(parts, { ...waiting, before }, answer, line);
  }

  lost({ call }: LostLine, line: number): void {
    this.#of(call, line);
  }

  #of(call: number, line: number): Call {
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) throw new HistoryError(`line ${line}: call ${call} waits for no answer`);
    this.#waiting.delete(call);
    return waiting;
  }

  #posted(person: Person, { to, text, ref }: Record<string, unknown>, line: number, at: number): Try | undefined {
    if (typeof to !== "string" || typeof text !== "string" || typeof ref !== "string") return undefined;
    return this.#sends.tried(person, { ref, to, text, isMarked: true, line, at }, undefined);
  }

  #postAnswered(person: Person, tried: Try, status: number, answer: Record<string, unknown>, line: number): void {
    const { id, seq, code } = answer;
    if (status >= 400) return this.#sends.refused(tried, String(code), line);
    if (typeof id !== "string" || typeof seq !== "number") return;
    const isDuplicate = answer["duplicate"] === true;
    this.#sends.acked(person, tried, { id, seq, isDuplicate, epoch: undefined }, line);
  }

  #synced({ person, device, before, body }: Call & Answered, answer: Record<string, unknown>, line: number): void {
    const cursor = streamPositions(body["cursor"]);
    const next = streamPositions(answer["cursor"]);
    const frames = answer["frames"];
    if (cursor === undefined || next === undefined || !Array.isArray(frames)) return;
    this.counts.polls++;
    const parts = { world: this.#world, guarantees: this.#guarantees, sightings: this.#sightings };
    const reading = new Reading({ ...parts, person, device, before });
    reading.resume(cursor, undefined, next);
    for (const frame of frames as (EntryFields & { from?: unknown; to?: unknown })[]) {
      if (frame.t === "message" || frame.t === "membership" || frame.t === "group") reading.entry(frame, line);
      else if (frame.t === "gap") reading.gap(frame, line);
      else if (frame.t === "reset") reading.reset(frame.conversation, line);
    }
    reading.ends(next, line);
    if (answer["more"] !== false) return;
    const where = "a reply of sync without more";
    const { user, timeline } = person;
    const tell = (log: string, seq: number, epoch: string | undefined): void => {
      for (const guarantee of this.#guarantees) guarantee.head?.({ log, seq, epoch, before, user, line, where });
    };
    tell(timeline, next.timeline, next.epoch);
    for (const [group, { seq, epoch }] of Object.entries(next.groups)) tell(group, seq, epoch);
  }
}

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
