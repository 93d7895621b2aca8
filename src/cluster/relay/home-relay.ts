/** The far end of the relay: sessions and calls of users of this node, whose clients are at other nodes. */
import type { Logger } from "../../base/logger.ts";
import { decodeMessage, encodeMessage } from "../../home/messages/codec/codec.ts";
import { number } from "../../home/messages/codec/values.ts";
import type { ClientConnection, ClientSocket } from "../../home/session/client-socket.ts";
import type { RelayedAnswer, RelayedCall } from "../../edge/relay.ts";
import type { SocketEnd } from "../../edge/socket/socket-end.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import { ChannelSocket } from "./channel-socket.ts";
import { encodeRelay, RELAY, relayedAnswer, relayedCall, sentOn, type RelayPacket } from "./relay-packets.ts";

/** How many bytes of frames are taken before the edge is told. Far below the edge's window. */
const TAKEN_BYTES = 64 << 10;
const CALLS_PER_LINK_MAX = 65_536;
/** With so much waiting, answers are left out: below what closes the link, and with it every session on it. */
const ANSWERS_BYTES_MAX = 128 << 20;

export type HomeRelayParts = {
  /** Begins a session on the connection. */
  begin(socket: ClientSocket, connection: ClientConnection): SocketEnd;
  /** Answers a call as if it had come here. */
  answer(call: RelayedCall, signal: AbortSignal): Promise<RelayedAnswer>;
  readonly logger: Logger;
};

type HomeChannel = { readonly socket: ChannelSocket; readonly session: SocketEnd; taken: number };

type OfLink = { readonly channels: Map<number, HomeChannel>; readonly calls: Map<number, AbortController> };

export class HomeRelay {
  readonly #parts: HomeRelayParts;
  readonly #links = new Map<Link, OfLink>();

  constructor(parts: HomeRelayParts) {
    this.#parts = parts;
  }

  /** Something from an edge. @throws RangeError for bytes that no node sends */
  came(link: Link, { kind, id, body }: RelayPacket): void {
    const { channels, calls } = this.#of(link);
    if (kind === RELAY.open) return this.#open(link, channels, id);
    if (kind === RELAY.call) return this.#call(link, calls, id, decodeMessage(relayedCall, body));
    if (kind === RELAY.abort) return calls.get(id)?.abort();
    const channel = channels.get(id);
    if (channel === undefined) return;
    switch (kind) {
      case RELAY.textFrame:
        return this.#frame(link, id, channel, body.toString(), body.length);
      case RELAY.binaryFrame:
        return this.#frame(link, id, channel, body, body.length);
      case RELAY.heard:
        return channel.session.heard(decodeMessage(number, body));
      case RELAY.drained:
        return this.#drained(channel, decodeMessage(sentOn, body));
      case RELAY.clientGone:
        return channel.socket.ended();
      default:
        throw new RangeError(`a relayed packet of kind ${kind} is for no home`);
    }
  }

  linkClosed(link: Link): void {
    const { channels, calls } = this.#of(link);
    this.#links.delete(link);
    for (const { socket } of [...channels.values()]) socket.ended();
    for (const call of calls.values()) call.abort();
  }

  #of(link: Link): OfLink {
    let known = this.#links.get(link);
    if (known === undefined) this.#links.set(link, (known = { channels: new Map(), calls: new Map() }));
    return known;
  }

  // ---- channels

  #open(link: Link, channels: OfLink["channels"], id: number): void {
    if (channels.has(id)) throw new RangeError(`channel ${id} is open already`);
    const socket = new ChannelSocket(link, id, () => {
      channels.delete(id);
      session.ended();
      session.gone();
    });
    const session: SocketEnd = this.#parts.begin(socket, socket);
    channels.set(id, { socket, session, taken: 0 });
  }

  #frame(link: Link, id: number, channel: HomeChannel, data: string | Buffer, bytes: number): void {
    channel.taken += bytes;
    channel.session.received(data);
    if (channel.taken < TAKEN_BYTES) return;
    link.send(PRIORITY.relay, encodeRelay(RELAY.taken, id, encodeMessage(number, channel.taken)));
    channel.taken = 0;
  }

  #drained({ socket, session }: HomeChannel, { came, waiting }: { came: number; waiting: number }): void {
    socket.reported(came, waiting);
    session.drained();
  }

  // ---- calls

  #call(link: Link, calls: OfLink["calls"], id: number, call: RelayedCall): void {
    if (calls.size >= CALLS_PER_LINK_MAX) return void link.send(PRIORITY.relay, encodeRelay(RELAY.notHere, id));
    const controller = new AbortController();
    calls.set(id, controller);
    const answered = (answer: RelayedAnswer): void => {
      if (controller.signal.aborted) return;
      if (link.waiting(PRIORITY.relay) > ANSWERS_BYTES_MAX)
        return void link.send(PRIORITY.relay, encodeRelay(RELAY.notHere, id));
      link.send(PRIORITY.relay, encodeRelay(RELAY.answer, id, encodeMessage(relayedAnswer, answer)));
    };
    this.#parts
      .answer(call, controller.signal)
      .then(answered)
      .catch((error: unknown) => {
        this.#parts.logger.error("a relayed call failed", { path: call.path, error });
        link.send(PRIORITY.relay, encodeRelay(RELAY.notHere, id));
      })
      .finally(() => calls.delete(id));
  }
}
