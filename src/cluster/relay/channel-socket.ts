/**
 * A client's connection at another node, as its session here sees it: a `ClientSocket` over a channel.
 *
 * The edge reports, in steps of some kilobytes, what it has sent on and what waits there because the client does not
 * read. So a slow client is noticed here (G9), and a catch-up goes at the client's speed: what is on its way to the edge
 * counts as buffered, too.
 */
import type { UserId } from "../../domain/address.ts";
import type { ClientConnection, ClientSocket } from "../../home/session/client-socket.ts";
import { encodeMessage } from "../../home/messages/codec/codec.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import { closeReason, encodeRelay, RELAY, type RelayKind } from "./relay-packets.ts";

/** Above the step in which the edge reports what was read (edge/socket/edge-session.ts). */
const ALLOWANCE_BYTES = 32 << 10;

export class ChannelSocket implements ClientSocket, ClientConnection {
  readonly isRelayed = true;
  readonly #link: Link;
  readonly #id: number;
  readonly #onEnd: () => void;
  /** Bytes that the edge has not reported, and bytes that wait at the edge. */
  #unreported = 0;
  #waiting = 0;
  #isEnded = false;

  constructor(link: Link, id: number, onEnd: () => void) {
    this.#link = link;
    this.#id = id;
    this.#onEnd = onEnd;
  }

  // ---- ClientSocket

  sendText(frame: string): number {
    if (this.#isEnded || this.#link.isClosed) return 0;
    const bytes = Buffer.from(frame);
    this.#unreported += bytes.length;
    this.#send(RELAY.frame, bytes);
    return this.getBufferedAmount() > 0 ? -1 : bytes.length;
  }

  cork(send: () => void): void {
    send();
  }

  getBufferedAmount(): number {
    return this.#waiting + Math.max(0, this.#unreported - ALLOWANCE_BYTES);
  }

  getUnreadAmount(): number {
    return this.#waiting;
  }

  close(code: number, reason: string): void {
    this.#send(RELAY.close, encodeMessage(closeReason, { code, reason }));
    this.ended();
  }

  terminate(): void {
    this.#send(RELAY.terminate);
    this.ended();
  }

  // ---- ClientConnection

  misbehaved(): void {
    this.#send(RELAY.misbehaved);
  }

  saidHello(user: UserId): void {
    this.#send(RELAY.saidHello, Buffer.from(user));
  }

  // ---- from the edge

  /** So many bytes have come there, and so many wait there now. */
  reported(came: number, waiting: number): void {
    this.#unreported = Math.max(0, this.#unreported - came);
    this.#waiting = waiting;
  }

  /** Nothing more is sent. */
  ended(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd();
  }

  #send(kind: RelayKind, body?: Uint8Array): void {
    if (!this.#isEnded) this.#link.send(PRIORITY.relay, encodeRelay(kind, this.#id, body));
  }
}
