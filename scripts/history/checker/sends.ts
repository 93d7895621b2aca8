/** Takes in what clients send, over sockets and calls, and what is answered. */
import type { Ack, Guarantee, Try, World } from "./guarantee.ts";
import { hashText, type Content, type Send } from "./messages.ts";
import type { Person } from "./people.ts";
import type { Sightings } from "./sightings.ts";

export type Sent = { ref: string; to: string; text: string; isMarked: boolean; line: number; at: number };
export type AckFields = { id: string; seq: number; isDuplicate: boolean; epoch: string | undefined };

/** Refusals after which the message may still be there, or may come after all. */
const OPEN_REFUSALS = new Set(["unavailable", "internal", "not_owner", "rate_limited"]);

/** A send that is not marked is held against those of this time. */
const REMEMBERED_MS = 60_000;

export class Sends {
  readonly #world: World;
  readonly #guarantees: readonly Guarantee[];
  readonly #sightings: Sightings;
  readonly counts = { sends: 0, acked: 0, duplicates: 0, refused: 0 };

  constructor(world: World, guarantees: readonly Guarantee[], sightings: Sightings) {
    this.#world = world;
    this.#guarantees = guarantees;
    this.#sightings = sightings;
  }

  tried(person: Person, sent: Sent, turn: { connection: number; index: number } | undefined): Try {
    const { ref, to, line, at, isMarked } = sent;
    const text = hashText(sent.text);
    const send = this.#world.messages.send(person.user, ref) ?? this.#newSend(person, sent);
    const content = contentOf(send, to, text, line);
    send.tries++;
    if (!isMarked && at - send.firstAt > REMEMBERED_MS) send.isForgotten = true;
    const log = logOf(person, to);
    const isRepeat = send.ackLine > 0 && this.#world.header.order === "total";
    const tried = { send, content, line, isMarked, isRepeat, turn: turn && { ...turn, log } };
    for (const guarantee of this.#guarantees) guarantee.tried?.(tried);
    return tried;
  }

  acked(person: Person, tried: Try, { id, seq, isDuplicate, epoch }: AckFields, line: number): void {
    const { send, content } = tried;
    this.counts[isDuplicate ? "duplicates" : "acked"]++;
    const log = this.#world.logs.of(logOf(person, content.to));
    const message = this.#sightings.known(id, person.user, content.to, content.text, line);
    const ack: Ack = { tried, id, message, seq, log, isDuplicate, line };
    for (const guarantee of this.#guarantees) guarantee.acked?.(ack);
    message.send ??= send;
    if (send.ackLine === 0) Object.assign(send, { message, acked: content, ackLine: line });
    const what = message.id;
    this.#sightings.see({ log, seq, person, what, message, isErased: false, epoch, line, isAck: true });
  }

  refused(tried: Try, code: string, line: number): void {
    this.counts.refused++;
    if (!OPEN_REFUSALS.has(code)) tried.send.refusedTries++;
    for (const guarantee of this.#guarantees) guarantee.refused?.(tried, code, line);
  }

  #newSend(person: Person, { ref, to, line, at }: Sent): Send {
    this.counts.sends++;
    const known = person.known.get(logOf(person, to));
    const send: Send = {
      ...{ user: person.user, ref, contents: [], floor: known?.shown ?? 0, firstLine: line, firstAt: at },
      ...{ tries: 0, refusedTries: 0, message: undefined, acked: undefined, ackLine: 0, isForgotten: false },
    };
    this.#world.messages.addSend(send);
    return send;
  }
}

/** The log in which the author finds it. */
const logOf = (person: Person, to: string): string => (to.startsWith("#") ? to : person.timeline);

function contentOf(send: Send, to: string, text: number, line: number): Content {
  const found = send.contents.find((one) => one.to === to && one.text === text);
  if (found !== undefined) return found;
  const content = { to, text, line };
  send.contents.push(content);
  return content;
}
