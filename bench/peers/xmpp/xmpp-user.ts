/**
 * A user of an XMPP server in the load. It asks for a receipt of each message (XEP-0184), and its peer's client sends
 * one for each. A message is *delivered* when its receipt is back. Messages and receipts must come in order, without a
 * gap. Receipts ask not to be archived.
 */
import { numberAfter } from "../../load/number-after.ts";
import { Talker, type LoadSink } from "../../load/talker.ts";
import { carriedByXml, escapeXml, unescapeXml } from "./stanza.ts";
import { DOMAIN, XmppStream } from "./xmpp-stream.ts";

export type XmppTexts = { lines: string[]; tails: Buffer[] };

const RESOURCE = "bench";

export function shareXmppTexts(lines: string[]): XmppTexts {
  const carried = lines.map(carriedByXml);
  const tails = carried.map((line) =>
    Buffer.from(`${escapeXml(line)}</body><request xmlns='urn:xmpp:receipts'/></message>`),
  );
  return { lines: carried, tails };
}

export class XmppUser extends Talker {
  #stream!: XmppStream;

  constructor(
    name: string,
    firstText: number,
    private readonly texts: XmppTexts,
    sink: LoadSink,
  ) {
    super(name, firstText, texts.lines, sink);
  }

  async connect(hostname: string, port: number): Promise<void> {
    this.#stream = new XmppStream({
      onStanza: (stanza, input, start) => this.#onStanza(stanza, input, start),
      onClose: (reason) => this.sink.onFailure(`${this.name}: ${reason}`),
    });
    await this.#stream.connect(hostname, port);
    await this.#stream.logIn(this.name, RESOURCE);
    await this.#stream.appear();
  }

  flush(): void {
    this.#stream.flush();
  }

  close(): void {
    this.#stream.close();
  }

  /** White space, the keep-alive of XMPP. */
  ping(): void {
    this.#stream.write(" ");
    this.#stream.flush();
  }

  describe(): string {
    return `${this.name} sent ${this.sent}, ${this.peer.received} received by ${this.peer.name}, ${this.delivered} receipts`;
  }

  protected write(send: number): void {
    const tail = this.texts.tails[this.textOf(send)] as Buffer;
    this.#stream.write(`<message to='${this.peer.name}@${DOMAIN}' id='m${send}' type='chat'><body>`, tail);
  }

  #onStanza(stanza: string, input: Buffer, start: number): void {
    if (stanza.startsWith("<presence")) return;
    const body = stanza.indexOf("<body");
    const receipt = body < 0 ? stanza.indexOf("<received") : -1;
    if (!stanza.startsWith("<message") || stanza.includes("type='error'"))
      this.sink.onFailure(`${this.name} got ${stanza.slice(0, 300)}`);
    else if (body >= 0) this.#onMessage(stanza, body, input, start);
    else if (receipt >= 0) this.#onReceipt(numberAfter(stanza.slice(receipt), "id='m"));
  }

  #onMessage(stanza: string, body: number, input: Buffer, start: number): void {
    const number = numberAfter(stanza, " id='m");
    if (number !== this.received) {
      this.sink.onFailure(`${this.name} got message ${number} of ${this.peer.name}, not ${this.received}`);
      return;
    }
    if (this.isSample) {
      const [from, to] = [stanza.indexOf(">", body) + 1, stanza.indexOf("</body>")];
      this.compare(unescapeXml(input.toString("utf8", start + from, start + to)));
    }
    this.received++;
    this.#stream.write(
      `<message to='${this.peer.name}@${DOMAIN}/${RESOURCE}' type='chat'><received xmlns='urn:xmpp:receipts' ` +
        `id='m${number}'/><no-store xmlns='urn:xmpp:hints'/></message>`,
    );
  }

  #onReceipt(number: number): void {
    if (number === this.delivered) this.confirmed(number);
    else this.sink.onFailure(`${this.name} got the receipt of message ${number}, not of ${this.delivered}`);
  }
}
