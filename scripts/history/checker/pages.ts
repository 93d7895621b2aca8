/** Takes in pages: entries, history, and the list of conversations. */
import { receiptKey, type Guarantee, type World } from "./guarantee.ts";
import type { Knowledge, Person } from "./people.ts";
import type { EntryFields, Sightings } from "./sightings.ts";

export type Answered = { person: Person; device: string; path: string; before: Knowledge };
type Parts = { world: World; guarantees: readonly Guarantee[]; sightings: Sightings };
type Fields = Record<string, unknown>;

const HISTORY = /^\/v1\/conversations\/([^/?]+)\/messages(?:\?|$)/;

export function readPage(parts: Parts, call: Answered, answer: Fields, line: number): void {
  const { path } = call;
  const query = new URLSearchParams(path.split("?")[1] ?? "");
  // With an API key the history of another user is read.
  if (query.has("user")) return;
  const history = HISTORY.exec(path)?.[1];
  if (history !== undefined) return historyPage(parts, call, decodeURIComponent(history), query, answer, line);
  if (path.startsWith("/v1/entries")) return entriesPage(parts, call, query, answer, line);
  const list = answer["conversations"];
  const conversations = Array.isArray(list) ? (list as Fields[]) : [answer];
  for (const one of conversations) conversation(parts, call, one, line);
}

function entriesPage(parts: Parts, call: Answered, query: URLSearchParams, answer: Fields, line: number): void {
  const frames = entriesIn(answer["frames"]);
  const { person, before } = call;
  const address = query.get("conversation") ?? "";
  const isGroup = address.startsWith("#");
  const log = parts.world.logs.of(isGroup ? address : person.timeline);
  for (const frame of frames) parts.sightings.entry(person, frame, undefined, line);
  const seqs = seqsOf(frames);
  const after = Number(query.get("after") ?? 0);
  // What came before the present group of this id is not shown, so a page of a group begins where it begins.
  const from = isGroup ? (seqs[0] ?? Infinity) : after + 1;
  const to = answer["more"] === false ? Infinity : Number(answer["after"]);
  unordered(parts, call, seqs, line);
  dense(parts, call, log.address, [after, ...seqs].slice(isGroup ? 1 : 0), line);
  const page = {
    said: Number(answer["after"]),
    log,
    conversation: undefined,
    from,
    to,
    seqs: new Set(seqs),
    user: person.user,
    before,
    line,
  };
  for (const guarantee of parts.guarantees) guarantee.page?.(page);
}

function historyPage(
  parts: Parts,
  call: Answered,
  address: string,
  query: URLSearchParams,
  answer: Fields,
  line: number,
): void {
  const messages = entriesIn(answer["messages"]);
  const { person, before } = call;
  for (const message of messages) parts.sightings.entry(person, message, undefined, line);
  const seqs = seqsOf(messages);
  unordered(parts, call, seqs, line);
  const isGroup = address.startsWith("#");
  const log = parts.world.logs.of(isGroup ? address : person.timeline);
  const after = query.get("after");
  const until = query.get("before");
  const first = seqs[0] ?? Infinity;
  const begin = after !== null ? Number(after) + 1 : 1;
  // What came before the present group of this id is not shown.
  const from = typeof answer["before"] === "number" && after === null ? answer["before"] : isGroup ? first : begin;
  const last = until === null ? Infinity : Number(until) - 1;
  const said = until === null && typeof answer["after"] === "number" ? answer["after"] : undefined;
  const to = said ?? last;
  const page = {
    said: said ?? 0,
    log,
    conversation: address,
    from,
    to,
    seqs: new Set(seqs),
    user: person.user,
    before,
    line,
  };
  for (const guarantee of parts.guarantees) guarantee.page?.(page);
}

function conversation(parts: Parts, { person, before }: Answered, one: Fields, line: number): void {
  for (const message of entriesIn(one["messages"])) parts.sightings.entry(person, message, undefined, line);
  const address = one["conversation"];
  if (typeof address !== "string" || address.startsWith("#")) return;
  for (const [kind, field] of [
    ["delivered", "deliveredThrough"],
    ["read", "readThrough"],
  ] as const) {
    const seq = one[field];
    const told = before.receipts.get(receiptKey(kind, address, address.slice(1)));
    if (typeof seq !== "number" || told === undefined || seq >= told.seq) continue;
    const problem = `${person.user} was told that ${address} has ${kind} up to ${told.seq}, and ${field} is ${seq}`;
    parts.world.violations.add("G6", [told.line, before.line, line], problem);
  }
}

function unordered({ guarantees }: Parts, { before, person }: Answered, seqs: readonly number[], line: number): void {
  const at = seqs.findIndex((seq, index) => index > 0 && seq <= (seqs[index - 1] ?? 0));
  if (at < 0) return;
  const problem = `${person.user} got a page in which seq ${seqs[at]} stands behind ${seqs[at - 1]}`;
  for (const guarantee of guarantees) guarantee.disordered?.(problem, [before.line, line]);
}

/** Entries of a page follow each other; each hole is reported to the guarantees. */
function dense(parts: Parts, call: Answered, address: string, seqs: readonly number[], line: number): void {
  const log = parts.world.logs.of(address);
  const { person, device, before } = call;
  for (const [index, seq] of seqs.entries()) {
    const last = seqs[index - 1];
    if (last === undefined || seq <= last + 1) continue;
    const hole = { log, from: last + 1, to: seq - 1, epoch: undefined, user: person.user, device, isLive: false };
    for (const guarantee of parts.guarantees) guarantee.hole?.({ ...hole, lines: [before.line, line] });
  }
}

const entriesIn = (list: unknown): EntryFields[] => (Array.isArray(list) ? (list as EntryFields[]) : []);
const seqsOf = (entries: readonly EntryFields[]): number[] =>
  entries.flatMap(({ seq }) => (typeof seq === "number" ? [seq] : []));
