/** Messages by the server's id, and sends by the client's ref. Of texts only a hash is kept. */

/** Text and place of one `send`. A ref with two contents is one send with two. */
export type Content = { to: string; text: number; line: number };

export type Send = {
  user: string;
  ref: string;
  contents: Content[];
  /** Where the log in which it will stand was known to end, when it was sent first: it stands above. */
  floor: number;
  firstLine: number;
  firstAt: number;
  tries: number;
  /** Tries that were refused in a way that leaves no doubt. */
  refusedTries: number;
  message: Message | undefined;
  /** The content that was acked first. */
  acked: Content | undefined;
  ackLine: number;
  /** Sent again after so long, and not marked: it may be another message. */
  isForgotten: boolean;
};

export type Message = {
  id: string;
  from: string;
  /** The receiver's or the group's address. */
  to: string;
  text: number;
  /** Undefined until an ack or one of the author's devices told. */
  send: Send | undefined;
  /** Of the first sighting or ack. */
  line: number;
  /** Place in the author's timeline, or in the group's log; 0: not seen. */
  authorSeq: number;
  authorLine: number;
  /** Place in the receiver's timeline; 0: not seen. */
  receiverSeq: number;
  receiverLine: number;
  /** Its text may be another one now. */
  isEdited: boolean;
};

export class Messages {
  readonly #byId = new Map<string, Message>();
  readonly #bySend = new Map<string, Send>();

  byId(id: string): Message | undefined {
    return this.#byId.get(id);
  }

  add(message: Message): void {
    this.#byId.set(message.id, message);
  }

  send(user: string, ref: string): Send | undefined {
    return this.#bySend.get(`${user} ${ref}`);
  }

  addSend(send: Send): void {
    this.#bySend.set(`${send.user} ${send.ref}`, send);
  }

  all(): Iterable<Message> {
    return this.#byId.values();
  }

  sends(): Iterable<Send> {
    return this.#bySend.values();
  }
}

const PRIME = 0x01000193;

/** 52 bits of a text: two hashes, FNV-1a and a polynomial, over UTF-16 units. */
export function hashText(text: string): number {
  let one = 0x811c9dc5;
  let two = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    one = Math.imul(one ^ unit, PRIME);
    two = (Math.imul(two, 31) + unit) | 0;
  }
  return (one >>> 0) * 0x100000 + (two & 0xfffff);
}
