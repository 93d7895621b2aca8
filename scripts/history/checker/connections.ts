/** Takes in the lines of connections: what is sent and got on a socket, in order. */
import type { CloseLine, FrameLine, OpenLine, WireFrame } from "../format.ts";
import { HistoryError } from "../parse-line.ts";
import { receiptKey, type Guarantee, type Try, type World } from "./guarantee.ts";
import type { Knowledge, Person } from "./people.ts";
import { streamPositions, type StreamPositions } from "./position.ts";
import { Reading } from "./reading.ts";
import type { Sends } from "./sends.ts";
import type { Sightings } from "./sightings.ts";

const TOO_SLOW = 4001;

type Connection = {
  c: number;
  person: Person;
  device: string;
  cursor: StreamPositions | undefined;
  before: Knowledge;
  reading: Reading | undefined;
  /** Sends that wait for their answer, by ref, oldest first. */
  tries: Map<string, Try[]>;
  sends: number;
  toldHere: Map<string, { seq: number; line: number }>;
  markHere: number;
};

export class Connections {
  readonly counts = { connections: 0, resumes: 0, resets: 0, gaps: 0, receipts: 0, tooSlow: 0 };
  readonly #open = new Map<number, Connection>();
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

  opened({ c, user, device }: OpenLine, line: number): void {
    if (this.#used.has(c)) throw new HistoryError(`line ${line}: connection ${c} was opened before`);
    this.#used.add(c);
    this.counts.connections++;
    const person = this.#world.people.of(user);
    const before = person.knowledge(line);
    this.#open.set(c, {
      ...{ c, person, device, before, cursor: undefined, reading: undefined },
      ...{ tries: new Map<string, Try[]>(), sends: 0, toldHere: new Map<string, { seq: number; line: number }>() },
      markHere: 0,
    });
  }

  closed({ c, code }: CloseLine, line: number): void {
    this.#of(c, line);
    if (code === TOO_SLOW) this.counts.tooSlow++;
    this.#open.delete(c);
    for (const guarantee of this.#guarantees) guarantee.closed?.(c);
  }

  sent({ c, frame, at = 0 }: FrameLine, line: number): void {
    const connection = this.#of(c, line);
    if (typeof frame === "string") return;
    const { person } = connection;
    const { seq, conversation } = frame;
    switch (frame.t) {
      case "hello":
        return this.#hello(connection, frame, line);
      case "send":
        return this.#send(connection, frame, line, at);
      case "received":
        if (typeof seq === "number")
          person.hasReceived(typeof conversation === "string" ? conversation : person.timeline, seq);
        return;
      case "read":
        if (typeof seq === "number" && typeof conversation === "string") person.hasRead(conversation, seq);
        return;
    }
  }

  got({ c, frame }: FrameLine, line: number): void {
    const connection = this.#of(c, line);
    const { reading } = connection;
    if (typeof frame === "string") return this.#misled(connection, "the server sent what is no frame", line);
    if (frame.t === "welcome") return this.#welcome(connection, frame, line);
    if (frame.t === "error") return this.#refused(connection, frame, line);
    if (reading === undefined) return;
    switch (frame.t) {
      case "message":
      case "membership":
      case "group":
        return reading.entry(frame, line);
      case "sent":
        return this.#acked(connection, reading, frame, line);
      case "gap":
        this.counts.gaps++;
        return reading.gap(frame, line);
      case "reset":
        this.counts.resets++;
        return reading.reset(frame["conversation"], line);
      case "live":
        return reading.live(line);
      case "receipt":
        return this.#receipt(connection, frame, line);
    }
  }

  /** Of a settled history: what is open has everything. */
  end(): void {
    for (const { person, device, reading, before } of this.#open.values()) {
      if (reading?.isLive !== true) continue;
      for (const [address, { seq, state }] of reading.positions) {
        if (state !== "followed") continue;
        const open = { user: person.user, device, log: this.#world.logs.of(address), seq, line: before.line };
        for (const guarantee of this.#guarantees) guarantee.open?.(open);
      }
    }
  }

  #of(c: number, line: number): Connection {
    const connection = this.#open.get(c);
    if (connection === undefined) throw new HistoryError(`line ${line}: connection ${c} is not open`);
    return connection;
  }

  #hello(connection: Connection, frame: WireFrame, line: number): void {
    const { person } = connection;
    const cursor = streamPositions(frame["cursor"]);
    connection.cursor = cursor;
    connection.before = person.knowledge(line);
    if (cursor !== undefined) hasAll(person, cursor);
  }

  #welcome(connection: Connection, frame: WireFrame, line: number): void {
    const { person, device, before, cursor } = connection;
    const heads = streamPositions(frame);
    if (heads === undefined) return this.#misled(connection, "welcome does not say where the timeline ends", line);
    if (heads.epoch !== undefined) this.#world.logs.of(person.timeline).sawEpoch(heads.epoch);
    this.#world.logs.of(person.timeline).raise(heads.timeline, line);
    const { marks } = frame;
    if (typeof marks === "number" && person.known.get(person.timeline)?.epoch === heads.epoch)
      for (const guarantee of this.#guarantees) guarantee.marks?.({ marks, before, user: person.user, line });
    const { user } = person;
    const tell = (log: string, seq: number, epoch: string | undefined): void => {
      for (const guarantee of this.#guarantees)
        guarantee.head?.({ log, seq, epoch, before, user, line, where: "welcome" });
    };
    tell(person.timeline, heads.timeline, heads.epoch);
    for (const [group, { seq, epoch }] of Object.entries(heads.groups)) tell(group, seq, epoch);
    const parts = { world: this.#world, guarantees: this.#guarantees, sightings: this.#sightings };
    const reading = new Reading({ ...parts, person, device, before });
    connection.reading = reading;
    if (cursor === undefined) return reading.beginAt(heads);
    this.counts.resumes++;
    reading.resume(cursor, heads, heads);
  }

  #send(connection: Connection, frame: WireFrame, line: number, at: number): void {
    const { ref, to, text, retry } = frame;
    if (typeof ref !== "string" || typeof to !== "string" || typeof text !== "string") return;
    const sent = { ref, to, text, isMarked: retry === true, line, at };
    const tried = this.#sends.tried(connection.person, sent, { connection: connection.c, index: connection.sends++ });
    const waiting = connection.tries.get(ref);
    if (waiting === undefined) connection.tries.set(ref, [tried]);
    else waiting.push(tried);
  }

  #acked(connection: Connection, reading: Reading, frame: WireFrame, line: number): void {
    const { ref, id, seq } = frame;
    const tried = typeof ref === "string" ? answered(connection, ref) : undefined;
    if (tried === undefined || typeof id !== "string" || typeof seq !== "number")
      return this.#misled(connection, `a sent for ${JSON.stringify(ref)}, which waits for none`, line);
    const isDuplicate = frame["duplicate"] === true;
    const isGroup = tried.content.to.startsWith("#");
    const log = isGroup ? tried.content.to : connection.person.timeline;
    const epoch = isGroup ? reading.epochIn(log) : reading.epoch;
    reading.acked(log, seq, isDuplicate, line);
    this.#sends.acked(connection.person, tried, { id, seq, isDuplicate, epoch }, line);
  }

  #refused(connection: Connection, { ref, code }: WireFrame, line: number): void {
    const tried = typeof ref === "string" ? answered(connection, ref) : undefined;
    if (tried !== undefined) this.#sends.refused(tried, String(code), line);
  }

  #receipt(connection: Connection, frame: WireFrame, line: number): void {
    const { kind, conversation, by, seq, mark } = frame;
    if (typeof kind !== "string" || typeof conversation !== "string" || typeof by !== "string") return;
    if (typeof seq !== "number") return;
    this.counts.receipts++;
    const { person, before, toldHere, markHere } = connection;
    const marked = typeof mark === "number" ? mark : undefined;
    const told = { person, kind, conversation, by, seq, mark: marked, line, before, toldHere, markHere };
    for (const guarantee of this.#guarantees) guarantee.told?.(told);
    const key = receiptKey(kind, conversation, by);
    raise(toldHere, key, seq, line);
    if (!conversation.startsWith("#")) raise(person.receipts, key, seq, line);
    if (marked !== undefined) connection.markHere = Math.max(markHere, marked);
    if (marked !== undefined) person.marks = Math.max(person.marks, marked);
  }

  #misled({ person, device, before }: Connection, problem: string, line: number): void {
    for (const guarantee of this.#guarantees)
      guarantee.misled?.(`${person.user}'s device ${device}: ${problem}`, [before.line, line]);
  }
}

/** A cursor says that the device has everything up to it. */
export function hasAll(person: Person, { timeline, groups }: StreamPositions): void {
  person.hasReceived(person.timeline, timeline);
  for (const [group, { seq }] of Object.entries(groups)) person.hasReceived(group, seq);
}

function answered({ tries }: Connection, ref: string): Try | undefined {
  const waiting = tries.get(ref);
  const tried = waiting?.shift();
  if (waiting?.length === 0) tries.delete(ref);
  return tried;
}

function raise(told: Map<string, { seq: number; line: number }>, key: string, seq: number, line: number): void {
  if (seq >= (told.get(key)?.seq ?? 0)) told.set(key, { seq, line });
}
