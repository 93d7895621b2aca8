/** A client's XMPP stream on a raw TCP socket without TLS: login, and stanzas in both directions, only for load. */
import type { Socket } from "bun";
import { OutputBuffer } from "../../load/output-buffer.ts";
import { stanzaEnd } from "./stanza.ts";

export const DOMAIN = "bench.test";
const EMPTY = Buffer.alloc(0);
const HEADER =
  `<stream:stream to='${DOMAIN}' version='1.0' xml:lang='en' xmlns='jabber:client' ` +
  "xmlns:stream='http://etherx.jabber.org/streams'>";

export type StanzaHandler = {
  /** `stanza` is decoded as latin1 (names and numbers are ASCII); its bytes are those of `input` from `start` on. */
  onStanza(stanza: string, input: Buffer, start: number): void;
  onClose(reason: string): void;
};

export class XmppStream {
  readonly #handler: StanzaHandler;
  readonly #output = new OutputBuffer();
  #socket: Socket<undefined> | undefined;
  #input: Buffer = EMPTY;
  #isClosed = false;
  #asking: { resolve(stanza: string): void; reject(error: Error): void } | undefined;

  constructor(handler: StanzaHandler) {
    this.#handler = handler;
  }

  /** Resolves with the stream's features. */
  async connect(hostname: string, port: number): Promise<string> {
    this.#socket = await Bun.connect<undefined>({
      hostname,
      port,
      socket: {
        data: (_, chunk) => this.#onData(chunk),
        drain: () => this.flush(),
        close: () => this.#closed("the server closed the connection"),
        error: (_, error) => this.#closed(error.message),
      },
    });
    return this.ask(`<?xml version='1.0'?>${HEADER}`);
  }

  /** SASL PLAIN with the name as the password, and a bound resource. */
  async logIn(user: string, resource: string): Promise<void> {
    const plain = Buffer.from(`\0${user}\0${user}`).toString("base64");
    await this.#expect("<success", `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain}</auth>`);
    await this.#expect("<stream:features", HEADER);
    await this.#expect(
      "type='result'",
      "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" +
        `<resource>${resource}</resource></bind></iq>`,
    );
  }

  /** The server shows a user's presence to the user, too. Once it did, messages come. */
  appear(): Promise<void> {
    return this.#expect("<presence", "<presence/>");
  }

  /** Sends and resolves with the next stanza of the server, which `onStanza` does not get. */
  async ask(text: string): Promise<string> {
    const answer = new Promise<string>((resolve, reject) => (this.#asking = { resolve, reject }));
    if (this.#isClosed) this.#asking?.reject(new Error("the stream is closed"));
    this.write(text);
    this.flush();
    return answer;
  }

  async #expect(part: string, text: string): Promise<void> {
    const answer = await this.ask(text);
    if (!answer.includes(part)) throw new Error(`the server answered ${answer.slice(0, 300)}, without ${part}`);
  }

  /** Appends to the output; `flush` sends it. `body` is ASCII, `tail` the UTF-8 bytes after it. */
  write(body: string, tail: Buffer = EMPTY): void {
    this.#output.reserve(body.length + tail.length);
    this.#output.latin1(body);
    this.#output.bytes(tail);
  }

  flush(): void {
    this.#output.flush(this.#socket);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.end();
  }

  #onData(chunk: Buffer): void {
    const input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    const at = this.#readStanzas(input, input.toString("latin1"));
    // The runtime may reuse its receive buffer, so the rest is copied.
    this.#input = at === input.length ? EMPTY : Buffer.from(input.subarray(at));
    this.flush();
  }

  #readStanzas(input: Buffer, text: string): number {
    let at = 0;
    for (;;) {
      // White space between stanzas keeps connections alive.
      const start = text.indexOf("<", at);
      if (start < 0) return input.length;
      const end = stanzaEnd(text, start);
      if (end < 0) return start;
      this.#onStanza(text.slice(start, end), input, start);
      at = end;
    }
  }

  #onStanza(stanza: string, input: Buffer, start: number): void {
    if (stanza.startsWith("<?xml") || stanza.startsWith("<stream:stream")) return;
    if (stanza.startsWith("<stream:error") || stanza.startsWith("</stream")) return this.#closed(stanza.slice(0, 300));
    const asking = this.#asking;
    if (asking === undefined) return this.#handler.onStanza(stanza, input, start);
    this.#asking = undefined;
    asking.resolve(stanza);
  }

  #closed(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#asking?.reject(new Error(reason));
    this.#handler.onClose(reason);
    this.#socket?.end();
  }
}
