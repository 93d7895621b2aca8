/**
 * All links of this node: one to each other node of the map. Of two nodes, the one whose id comes first in the alphabet
 * dials. A link that has ended is made again, after a wait that grows up to `REDIAL_MS_MAX`.
 */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import type { NodeId, PartitionMap } from "../map/partition-map.ts";
import { introduce, type Introduction } from "./handshake.ts";
import { AcceptingSide, DialingSide, type HandshakeParts } from "./handshakes.ts";
import { Link, type LinkEvents } from "./link.ts";
import type { Priority } from "./priority.ts";
import type { Dialer, Wire, WireEvents } from "./wire.ts";

const REDIAL_MS = 50;
const REDIAL_MS_MAX = 2000;
/** Accepted connections that are still in their handshake. With more, the oldest goes: strangers may hold them. */
const ACCEPTING_MAX = 256;

export type LinksParts = {
  readonly self: Pick<Introduction, "node" | "process" | "directory">;
  readonly secret: Uint8Array;
  map(): PartitionMap;
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
};

export type LinksEvents = {
  /** A link is ready. */
  opened(link: Link): void;
  packet(link: Link, priority: Priority, packet: Buffer): void;
  closed(link: Link): void;
};

/** A node that this one dials, or waits to dial again. */
type Dialed = { cancel: () => void; waitMs: number; lastFailure: string };

export class Links {
  readonly #parts: LinksParts;
  readonly #events: LinksEvents;
  readonly #links = new Map<NodeId, Link>();
  readonly #dialed = new Map<NodeId, Dialed>();
  /** The oldest first. */
  readonly #accepting = new Set<AcceptingSide>();
  #isStopped = false;

  constructor(parts: LinksParts, events: LinksEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** Undefined while there is none. */
  to(node: NodeId): Link | undefined {
    return this.#links.get(node);
  }

  all(): Iterable<Link> {
    return this.#links.values();
  }

  /** Makes the links of the current map. Call it again when the map has changed. */
  follow(): void {
    const { nodes } = this.#parts.map();
    const { node: self } = this.#parts.self;
    for (const node of nodes.keys()) if (self < node && !this.#dialed.has(node)) this.#dial(node, REDIAL_MS);
    for (const [node, { cancel }] of this.#dialed) {
      if (nodes.has(node)) continue;
      cancel();
      this.#dialed.delete(node);
    }
    for (const [node, link] of this.#links) if (!nodes.has(node)) link.close("the map has this node no longer");
  }

  stop(): void {
    this.#isStopped = true;
    for (const { cancel } of this.#dialed.values()) cancel();
    for (const side of [...this.#accepting]) side.fail("this node is going away");
    for (const link of [...this.#links.values()]) link.close("this node is going away");
  }

  /** A connection of another node. @returns undefined if this node is going away: then close it */
  accept(wire: Wire): WireEvents | undefined {
    if (this.#isStopped) return undefined;
    const [oldest] = this.#accepting;
    if (this.#accepting.size >= ACCEPTING_MAX) oldest?.fail("more connections came than can be in their handshake");
    const end = new End();
    const over = (): void => void this.#accepting.delete(side);
    const failed = (why: string): void => {
      over();
      if (!this.#isStopped) this.#parts.logger.warn("a node got no link", { why });
    };
    const side: AcceptingSide = new AcceptingSide(wire, this.#handshake(end, wire, failed, over));
    this.#accepting.add(side);
    end.handle(side);
    return end;
  }

  /** @param over called when both sides have proved who they are */
  #handshake(end: End, wire: Wire, failed: (why: string) => void, over: () => void = () => {}): HandshakeParts {
    const { secret, clock, random, self } = this.#parts;
    return {
      secret,
      clock,
      self: introduce({ cluster: this.#parts.map().cluster, ...self }, random),
      refusalOf: (peer) => this.#refusalOf(peer),
      done: (peer) => {
        over();
        this.#open(end, wire, peer);
      },
      failed,
    };
  }

  #refusalOf(peer: Introduction): string | undefined {
    const { self } = this.#parts;
    if (peer.node === self.node) return `${peer.node} is this node itself: each node needs an id of its own`;
    if (!this.#parts.map().nodes.has(peer.node)) return `the map has no node ${peer.node}: give both the same map`;
    const present = this.#links.get(peer.node);
    if (present !== undefined && present.peer.directory !== peer.directory)
      return `${peer.node} is running already, with another data directory: each node needs an id of its own`;
    return undefined;
  }

  #open(end: End, wire: Wire, peer: Introduction): void {
    const { clock, logger } = this.#parts;
    this.#links.get(peer.node)?.close("the other node has made a new link");
    if (this.#isStopped) return wire.close();
    const events: LinkEvents = {
      packet: (link, priority, packet) => this.#events.packet(link, priority, packet),
      closed: (link, why) => {
        if (this.#links.get(peer.node) === link) this.#links.delete(peer.node);
        if (!this.#isStopped) logger.info("the link to a node has ended", { node: peer.node, why });
        this.#events.closed(link);
        this.#dialLater(peer.node, why);
      },
    };
    const link = new Link(peer, wire, clock, events);
    end.handle({
      received: (bytes) => link.received(bytes),
      drained: () => link.drained(),
      closed: () => link.close("the connection ended"),
    });
    this.#links.set(peer.node, link);
    const dialed = this.#dialed.get(peer.node);
    if (dialed !== undefined) Object.assign(dialed, { waitMs: REDIAL_MS, lastFailure: "" });
    logger.info("the link to a node is ready", { node: peer.node });
    this.#events.opened(link);
  }

  // ---- dialing

  #dial(node: NodeId, waitMs: number): void {
    const url = this.#parts.map().nodes.get(node)?.url;
    if (this.#isStopped || url === undefined) return;
    const dialed = this.#dialed.get(node) ?? { cancel: () => {}, waitMs, lastFailure: "" };
    this.#dialed.set(node, dialed);
    const end = new End();
    const wire = this.#parts.dialer.dial(url, {
      opened: () => side.begin(),
      message: (bytes) => end.message(bytes),
      drained: () => end.drained(),
      closed: () => end.closed(),
    });
    const side: DialingSide = new DialingSide(
      wire,
      this.#handshake(end, wire, (why) => this.#dialLater(node, why)),
      node,
    );
    end.handle(side);
    dialed.cancel = () => side.fail("this node is going away");
  }

  #dialLater(node: NodeId, why: string): void {
    const dialed = this.#dialed.get(node);
    if (this.#isStopped || dialed === undefined || !this.#parts.map().nodes.has(node)) return;
    // Each reason is logged once, however often it is tried.
    if (why !== dialed.lastFailure) this.#parts.logger.warn("no link to a node yet; trying on", { node, why });
    dialed.lastFailure = why;
    const { waitMs } = dialed;
    dialed.waitMs = Math.min(REDIAL_MS_MAX, waitMs * 2);
    dialed.cancel = this.#parts.clock.after(waitMs, () => this.#dial(node, dialed.waitMs));
  }
}

type Handler = { received(bytes: Buffer): void; drained?(): void; closed(): void };

/** Passes the events of a wire to the handshake, and then to the link. */
class End implements WireEvents {
  #handler: Handler = { received: () => {}, closed: () => {} };

  handle(handler: Handler): void {
    this.#handler = handler;
  }

  message(bytes: Buffer): void {
    this.#handler.received(bytes);
  }

  drained(): void {
    this.#handler.drained?.();
  }

  closed(): void {
    this.#handler.closed();
  }
}
