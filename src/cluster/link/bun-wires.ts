/** Wires over WebSockets: those that this node dials, and those that its server accepts. */
import type { ServerWebSocket } from "bun";
import type { Clock } from "../../base/clock.ts";
import type { Dialer, Wire, WireEvents } from "./wire.ts";

export const LINK_PATH = "/cluster/v1/link";

/** How often a dialed connection is asked what has left it: the runtime does not tell. */
const LOOK_MS = 2;

export function createDialer(clock: Clock): Dialer {
  return {
    dial(url, events) {
      const socket = new WebSocket(`${url.replace(/^http/, "ws")}${LINK_PATH}`);
      socket.binaryType = "nodebuffer" as BinaryType;
      const wire = new DialedWire(socket, clock, events);
      socket.addEventListener("open", () => events.opened());
      socket.addEventListener("message", ({ data }) => events.message(data as Buffer));
      socket.addEventListener("error", () => wire.ended());
      socket.addEventListener("close", () => wire.ended());
      return wire;
    },
  };
}

class DialedWire implements Wire {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #events: WireEvents;
  #cancelLook: (() => void) | undefined;
  #isEnded = false;

  constructor(socket: WebSocket, clock: Clock, events: WireEvents) {
    this.#socket = socket;
    this.#clock = clock;
    this.#events = events;
  }

  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(bytes);
    if (this.#socket.bufferedAmount > 0) this.#look();
    return true;
  }

  get bufferedBytes(): number {
    return this.#isEnded ? 0 : this.#socket.bufferedAmount;
  }

  close(): void {
    this.#isEnded = true;
    this.#cancelLook?.();
    // The runtime has it, its types do not. A close would wait for the other end.
    (this.#socket as WebSocket & { terminate(): void }).terminate();
  }

  ended(): void {
    if (this.#isEnded) return;
    this.close();
    this.#events.closed();
  }

  #look(): void {
    if (this.#cancelLook !== undefined || this.#isEnded) return;
    const before = this.#socket.bufferedAmount;
    this.#cancelLook = this.#clock.after(LOOK_MS, () => {
      this.#cancelLook = undefined;
      if (this.#isEnded) return;
      const now = this.#socket.bufferedAmount;
      if (now > 0) this.#look();
      if (now < before) this.#events.drained();
    });
  }
}

/** What an accepted connection of another node keeps, in the place of a client's `SocketData`. */
export class LinkSocketData {
  events: WireEvents | undefined;
}

class AcceptedWire implements Wire {
  readonly #socket: ServerWebSocket<LinkSocketData>;

  constructor(socket: ServerWebSocket<LinkSocketData>) {
    this.#socket = socket;
  }

  /** The runtime drops what it has no room for: a link that loses packets must end. */
  send(bytes: Uint8Array<ArrayBuffer>): boolean {
    return this.#socket.sendBinary(bytes) !== 0;
  }

  get bufferedBytes(): number {
    return this.#socket.getBufferedAmount();
  }

  close(): void {
    this.#socket.terminate();
  }
}

export type LinkHandler = {
  open(socket: ServerWebSocket<LinkSocketData>): void;
  message(socket: ServerWebSocket<LinkSocketData>, data: string | Buffer): void;
  drain(socket: ServerWebSocket<LinkSocketData>): void;
  close(socket: ServerWebSocket<LinkSocketData>): void;
};

/** @param accept undefined if there is no room for more */
export function linkSocketHandler(accept: (wire: Wire) => WireEvents | undefined): LinkHandler {
  return {
    open(socket) {
      socket.data.events = accept(new AcceptedWire(socket));
      if (socket.data.events === undefined) socket.terminate();
    },
    message(socket, data) {
      socket.data.events?.message(typeof data === "string" ? Buffer.from(data) : data);
    },
    drain(socket) {
      socket.data.events?.drained();
    },
    close(socket) {
      socket.data.events?.closed();
    },
  };
}
