/** Takes in what clients are shown: which entry is at which place of which log, and which messages there are. */
import type { Guarantee, Sighting, World } from "./guarantee.ts";
import { hashText, type Message } from "./messages.ts";
import type { Person } from "./people.ts";

/** The fields of `message`, `membership` and `group` frames, and of messages in answers; none is trusted. */
export type EntryFields = {
  t?: unknown;
  id?: unknown;
  conversation?: unknown;
  from?: unknown;
  text?: unknown;
  seq?: unknown;
  ref?: unknown;
  editedAt?: unknown;
  deletedAt?: unknown;
  change?: unknown;
  groupSeq?: unknown;
  user?: unknown;
  by?: unknown;
  epoch?: unknown;
};

type Seen = Omit<Sighting, "place" | "isFirst">;

export class Sightings {
  readonly #world: World;
  readonly #guarantees: readonly Guarantee[];

  constructor(world: World, guarantees: readonly Guarantee[]) {
    this.#world = world;
    this.#guarantees = guarantees;
  }

  /** @returns undefined for what is no entry */
  entry(person: Person, fields: EntryFields, epoch: string | undefined, line: number): Sighting | undefined {
    const { seq, conversation } = fields;
    if (typeof seq !== "number" || typeof conversation !== "string") return undefined;
    const isMembership = fields.t === "membership";
    const log = this.#world.logs.of(conversation.startsWith("#") && !isMembership ? conversation : person.timeline);
    const isErased = fields.deletedAt !== undefined && fields.text === undefined;
    const isMessage = !isMembership && fields.t !== "group";
    const message = isMessage && !isErased ? this.#message(person, fields, conversation, line) : undefined;
    const what = isErased ? "an erased message" : (message?.id ?? changeOf(fields));
    return this.see({ log, seq, person, what, message, isErased, epoch, line, isAck: false });
  }

  see(seen: Seen): Sighting {
    const { log, seq, line, epoch, person, message } = seen;
    if (epoch !== undefined) log.sawEpoch(epoch);
    log.raise(seq, line);
    person.learn(log.address, seq, epoch, line, seen.isAck);
    let place = log.places.get(seq);
    const isFirst = place === undefined || isOfOtherEpoch(place.epoch, epoch);
    if (place === undefined || isFirst) {
      place = { seq, message, what: seen.what, epoch, line, ackLine: seen.isAck ? line : 0 };
      log.places.set(seq, place);
    }
    const sighting: Sighting = Object.assign(seen, { place, isFirst });
    for (const guarantee of this.#guarantees) guarantee.seen?.(sighting);
    if (place.message === undefined && message !== undefined) place.message = message;
    if (seen.isAck && place.ackLine === 0) place.ackLine = line;
    place.epoch ??= epoch;
    return sighting;
  }

  /** A message by its id, which is the same for everybody. */
  known(id: string, from: string, to: string, text: number, line: number): Message {
    const found = this.#world.messages.byId(id);
    if (found !== undefined) return found;
    const unseen = { authorSeq: 0, authorLine: 0, receiverSeq: 0, receiverLine: 0 };
    const message = { id, from, to, text, send: undefined, line, ...unseen, isEdited: false };
    this.#world.messages.add(message);
    return message;
  }

  #message(person: Person, fields: EntryFields, conversation: string, line: number): Message | undefined {
    const { id, from, text, ref } = fields;
    if (typeof id !== "string" || typeof from !== "string") return undefined;
    const isOwn = from === person.user;
    const to = isOwn || conversation.startsWith("#") ? conversation : person.timeline;
    const hash = hashText(typeof text === "string" ? text : "");
    const message = this.known(id, from, to, hash, line);
    if (fields.editedAt !== undefined) message.isEdited = true;
    if (isOwn && typeof ref === "string") message.send ??= this.#world.messages.send(from, ref);
    this.#compare(message, { from, to, hash, line });
    return message;
  }

  #compare(message: Message, { from, to, hash, line }: { from: string; to: string; hash: number; line: number }): void {
    const isSame = message.from === from && message.to === to && (message.text === hash || message.isEdited);
    if (isSame) return;
    const field = message.from !== from ? "author" : message.to !== to ? "address" : "text";
    const problem = `message ${message.id} has another ${field} here than in line ${message.line}`;
    const isKnown = message.send?.contents.some((content) => content.to === to && content.text === hash) ?? true;
    this.#world.violations.add(isKnown ? "G4" : "G5", [message.line, line], problem);
  }
}

const isOfOtherEpoch = (one: string | undefined, other: string | undefined): boolean =>
  one !== undefined && other !== undefined && one !== other && one !== "" && other !== "";

function changeOf(fields: EntryFields): string {
  const { t, conversation, groupSeq } = fields;
  const [change, user, by] = [fields.change, fields.user, fields.by].map((name) =>
    typeof name === "string" ? name : "",
  );
  if (t === "membership") return `${change} ${conversation as string} at ${Number(groupSeq)}`;
  return user === "" ? `${change} by ${by}` : `${change} ${user} by ${by}`;
}
