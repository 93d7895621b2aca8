/** What a user's devices said and were told, together. */

/** How far a user knew a log, and from which line. Acked and shown apart, because they are different guarantees. */
export type Known = {
  shown: number;
  shownLine: number;
  acked: number;
  ackedLine: number;
  epoch: string | undefined;
};

/** The highest seq of each conversation that a receipt named, by `receiptKey`. */
export type Receipts = Map<string, { seq: number; line: number }>;

/** What a user knew when a device began to read: what it is shown afterwards may not be less. */
export type Knowledge = {
  line: number;
  known: Map<string, Known>;
  receipts: Receipts;
  marks: number;
};

export class Person {
  readonly user: string;
  readonly known = new Map<string, Known>();
  readonly receipts: Receipts = new Map();
  /** The highest `mark` of a receipt. */
  marks = 0;
  epoch: string | undefined;
  /** How far any device said that it has the timeline, or a group, by address of the log. */
  readonly received = new Map<string, number>();
  /** How far the user has read, by conversation. */
  readonly read = new Map<string, number>();

  constructor(user: string) {
    this.user = user;
  }

  get timeline(): string {
    return `@${this.user}`;
  }

  learn(log: string, seq: number, epoch: string | undefined, line: number, isAck: boolean): void {
    let known = this.known.get(log);
    if (known === undefined || (known.epoch !== undefined && epoch !== undefined && known.epoch !== epoch)) {
      known = { shown: 0, shownLine: 0, acked: 0, ackedLine: 0, epoch };
      this.known.set(log, known);
    }
    known.epoch ??= epoch;
    if (isAck && seq > known.acked) {
      known.acked = seq;
      known.ackedLine = line;
    }
    if (seq > known.shown) {
      known.shown = seq;
      known.shownLine = line;
    }
  }

  knowledge(line: number): Knowledge {
    const known = new Map([...this.known].map(([log, one]) => [log, { ...one }]));
    return { line, known, receipts: new Map(this.receipts), marks: this.marks };
  }

  hasReceived(log: string, seq: number): void {
    if (seq > (this.received.get(log) ?? 0)) this.received.set(log, seq);
  }

  hasRead(conversation: string, seq: number): void {
    if (seq > (this.read.get(conversation) ?? 0)) this.read.set(conversation, seq);
  }
}

export class People {
  readonly #people = new Map<string, Person>();

  of(user: string): Person {
    let person = this.#people.get(user);
    if (person === undefined) this.#people.set(user, (person = new Person(user)));
    return person;
  }

  known(user: string): Person | undefined {
    return this.#people.get(user);
  }

  get size(): number {
    return this.#people.size;
  }
}
