/** What a guarantee is told of a history. Each implements the part that it decides by, and reports to `violations`. */
import type { Header } from "../format.ts";
import type { Log, Logs, Place } from "./logs.ts";
import type { Content, Message, Messages, Send } from "./messages.ts";
import type { Knowledge, People, Person } from "./people.ts";
import type { Violations } from "./violations.ts";

export type World = {
  readonly header: Header;
  readonly people: People;
  readonly logs: Logs;
  readonly messages: Messages;
  readonly violations: Violations;
};

/** One `send` on a connection, or one `POST /v1/messages`. */
export type Try = {
  send: Send;
  content: Content;
  line: number;
  /** It may have been sent before, and says so. */
  isMarked: boolean;
  /** The ref had an ack when this was sent. */
  isRepeat: boolean;
  /** Its place among the sends of its connection; undefined for calls, which have no order. */
  turn: { connection: number; log: string; index: number } | undefined;
};

export type Ack = {
  tried: Try;
  id: string;
  message: Message;
  seq: number;
  log: Log;
  isDuplicate: boolean;
  line: number;
};

/** An entry that somebody got, or an ack that stands for one. */
export type Sighting = {
  log: Log;
  seq: number;
  person: Person;
  what: string;
  message: Message | undefined;
  isErased: boolean;
  epoch: string | undefined;
  line: number;
  isAck: boolean;
  /** Of the first sighting of that place. */
  place: Place;
  isFirst: boolean;
};

/** Entries that a reader did not get, though it got a later one, or was told that there are no more. */
export type Hole = {
  log: Log;
  from: number;
  to: number;
  epoch: string | undefined;
  user: string;
  device: string;
  isLive: boolean;
  /** Where the reader should have got them, and where its reading began. */
  lines: number[];
};

/** The server says where a log ends. */
export type Head = {
  log: string;
  seq: number;
  epoch: string | undefined;
  before: Knowledge;
  user: string;
  line: number;
  where: string;
};

export type Marks = { marks: number; before: Knowledge; user: string; line: number };

/** A page lists everything from `from` to `to`, at least what was there when it was asked for. */
export type Page = {
  log: Log;
  /** Of history: only messages of this conversation. */
  conversation: string | undefined;
  from: number;
  to: number;
  /** The answer itself says that it goes so far. */
  said: number;
  seqs: ReadonlySet<number>;
  user: string;
  before: Knowledge;
  line: number;
};

export type Told = {
  person: Person;
  kind: string;
  conversation: string;
  by: string;
  seq: number;
  mark: number | undefined;
  line: number;
  /** What the user knew when this connection began, and what this connection was told before. */
  before: Knowledge;
  toldHere: Map<string, { seq: number; line: number }>;
  /** The highest mark on this connection so far. */
  markHere: number;
};

/** A reading that ends with the history, open and live. */
export type OpenReading = {
  user: string;
  device: string;
  log: Log;
  seq: number;
  line: number;
};

export type Guarantee = {
  tried?(tried: Try): void;
  acked?(ack: Ack): void;
  refused?(tried: Try, code: string, line: number): void;
  seen?(sighting: Sighting): void;
  /** An entry that this reader got before, or that is older than what it has. */
  again?(log: Log, seq: number, at: number, lines: number[], who: string): void;
  hole?(hole: Hole): void;
  head?(head: Head): void;
  page?(page: Page): void;
  told?(told: Told): void;
  marks?(marks: Marks): void;
  /** A page is not in order. */
  disordered?(problem: string, lines: number[]): void;
  /** A reading breaks the rules of cursors, resets and gaps. */
  misled?(problem: string, lines: number[]): void;
  closed?(connection: number): void;
  /** Of a settled history only. */
  open?(reading: OpenReading): void;
  end?(settled: boolean): void;
};

export const receiptKey = (kind: string, conversation: string, by: string): string => `${kind} ${conversation} ${by}`;
