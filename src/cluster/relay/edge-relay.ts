/**
 * The near end of the relay: channels and calls of clients at this node, carried to the homes of their users.
 *
 * A channel has a window: bytes of frames that its home has not taken yet. A client that fills it is told to come back,
 * so that a home which stands still fills no memory here.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { UserId } from "../../domain/address.ts";
import { CLOSE, type CloseCode } from "../../protocol/codes.ts";
import type { CallRelay, Channel, ChannelEvents, RelayedAnswer, RelayedCall, SocketRelay } from "../../edge/relay.ts";
import { decodeMessage, encodeMessage } from "../../home/messages/codec/codec.ts";
import { number } from "../../home/messages/codec/values.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import type { NodeId } from "../map/partition-map.ts";
import {
  closeReason,
  encodeRelay,
  RELAY,
  relayedAnswer,
  relayedCall,
  sentOn,
  type RelayKind,
  type RelayPacket,
} from "./relay-packets.ts";

/** Above so many waiting bytes, a link gets no new channels and calls; above twice as many, no frames. */
const LINK_BYTES_MAX = 64 << 20;
/** Each has a connection of its own, which is bounded before. */
const CALLS_MAX = 65_536;
const CALL_MS = 90_000;
const COME_BACK_MS = 200;

export type EdgeRelayParts = {
  /** The node where the user's home is; undefined if it is this one. */
  homeOf(user: UserId): NodeId | undefined;
  linkTo(node: NodeId): Link | undefined;
  readonly clock: Clock;
};

type WaitingCall = { readonly link: Link; end(answer: RelayedAnswer | AppError): void };

export class EdgeRelay implements SocketRelay, CallRelay {
  readonly #parts: EdgeRelayParts;
  readonly #channels = new Map<number, EdgeChannel>();
  readonly #calls = new Map<number, WaitingCall>();
  #lastId = 0;

  constructor(parts: EdgeRelayParts) {
    this.#parts = parts;
  }

  isHere(user: UserId): boolean {
    return this.#parts.homeOf(user) === undefined;
  }

  open(user: UserId, events: ChannelEvents, windowBytes: number): Channel | undefined {
    const link = this.#linkFor(user);
    if (link === undefined) return undefined;
    const id = ++this.#lastId;
    const channel = new EdgeChannel(id, link, events, windowBytes, () => void this.#channels.delete(id));
    this.#channels.set(id, channel);
    return channel;
  }

  call(user: UserId, call: RelayedCall, signal: AbortSignal): Promise<RelayedAnswer> {
    const link = this.#linkFor(user);
    if (link === undefined || signal.aborted || this.#calls.size >= CALLS_MAX) return Promise.reject(outOfReach());
    const { promise, resolve, reject } = Promise.withResolvers<RelayedAnswer>();
    const id = ++this.#lastId;
    // Nobody is left who wants the answer.
    const abort = (): void => {
      link.send(PRIORITY.relay, encodeRelay(RELAY.abort, id));
      this.#ended(id, outOfReach());
    };
    const cancel = this.#parts.clock.after(CALL_MS, () => this.#ended(id, outOfReach()));
    signal.addEventListener("abort", abort, { once: true });
    this.#calls.set(id, {
      link,
      end(answer) {
        cancel();
        signal.removeEventListener("abort", abort);
        if (answer instanceof AppError) reject(answer);
        else resolve(answer);
      },
    });
    link.send(PRIORITY.relay, encodeRelay(RELAY.call, id, encodeMessage(relayedCall, call)));
    return promise;
  }

  /** Something from a home. @throws RangeError for bytes that no node sends */
  came(link: Link, { kind, id, body }: RelayPacket): void {
    if (kind === RELAY.answer) return this.#answered(id, link, decodeMessage(relayedAnswer, body));
    if (kind === RELAY.notHere && this.#calls.has(id)) return this.#answered(id, link, outOfReach());
    const channel = this.#channels.get(id);
    if (channel !== undefined && channel.link === link) channel.came(kind, body);
  }

  linkClosed(link: Link): void {
    for (const channel of [...this.#channels.values()]) if (channel.link === link) channel.lost();
    for (const [id, call] of [...this.#calls]) if (call.link === link) this.#ended(id, outOfReach());
  }

  #linkFor(user: UserId): Link | undefined {
    const home = this.#parts.homeOf(user);
    const link = home === undefined ? undefined : this.#parts.linkTo(home);
    return link === undefined || link.waiting(PRIORITY.relay) > LINK_BYTES_MAX ? undefined : link;
  }

  #answered(id: number, link: Link, answer: RelayedAnswer | AppError): void {
    if (this.#calls.get(id)?.link === link) this.#ended(id, answer);
  }

  #ended(id: number, answer: RelayedAnswer | AppError): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.end(answer);
  }
}

class EdgeChannel implements Channel {
  readonly link: Link;
  readonly #id: number;
  readonly #events: ChannelEvents;
  readonly #windowBytes: number;
  readonly #onEnd: () => void;
  #isOpened = false;
  #isEnded = false;
  /** Bytes of frames that the home has not taken. */
  #untaken = 0;

  constructor(id: number, link: Link, events: ChannelEvents, windowBytes: number, onEnd: () => void) {
    this.#id = id;
    this.#windowBytes = windowBytes;
    this.link = link;
    this.#events = events;
    this.#onEnd = onEnd;
  }

  frame(data: string | Buffer): boolean {
    if (this.#isEnded) return true;
    if (!this.#isOpened) this.#send(RELAY.open);
    this.#isOpened = true;
    const body = typeof data === "string" ? Buffer.from(data) : Buffer.from(data);
    this.#untaken += body.length;
    if (this.#untaken > this.#windowBytes || this.link.waiting(PRIORITY.relay) > 2 * LINK_BYTES_MAX) return false;
    this.#send(typeof data === "string" ? RELAY.textFrame : RELAY.binaryFrame, body);
    return true;
  }

  heard(bytes: number): void {
    this.#send(RELAY.heard, encodeMessage(number, bytes));
  }

  drained(came: number, waiting: number): void {
    this.#send(RELAY.drained, encodeMessage(sentOn, { came, waiting }));
  }

  closed(): void {
    if (this.#isEnded) return;
    if (this.#isOpened) this.#send(RELAY.clientGone);
    this.#end();
  }

  /** The link has ended, or the home is no longer there. */
  lost(): void {
    if (this.#isEnded) return;
    this.#end();
    this.#events.lost(CLOSE.tryLater, "the connection to the user's node was lost", COME_BACK_MS);
  }

  came(kind: RelayKind, body: Buffer): void {
    if (this.#isEnded) return;
    switch (kind) {
      case RELAY.frame:
        return this.#events.frame(body.toString());
      case RELAY.taken:
        this.#untaken -= decodeMessage(number, body);
        return;
      case RELAY.close: {
        const { code, reason } = decodeMessage(closeReason, body);
        this.#end();
        return this.#events.close(code as CloseCode, reason);
      }
      case RELAY.terminate:
        this.#end();
        return this.#events.terminate();
      case RELAY.misbehaved:
        return this.#events.misbehaved();
      case RELAY.saidHello:
        return this.#events.saidHello(body.toString() as UserId);
      case RELAY.notHere:
        return this.lost();
      default:
        throw new RangeError(`a relayed packet of kind ${kind} is for no edge`);
    }
  }

  #end(): void {
    this.#isEnded = true;
    this.#onEnd();
  }

  #send(kind: RelayKind, body?: Uint8Array): void {
    if (!this.#isEnded) this.link.send(PRIORITY.relay, encodeRelay(kind, this.#id, body));
  }
}

const outOfReach = (): AppError =>
  new AppError("unavailable", "the user's node cannot be reached now; try again", { retryAfterMs: COME_BACK_MS });
