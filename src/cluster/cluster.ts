/**
 * This node's part of a cluster: its links, the map, and what crosses between nodes. It knows no state of users or
 * groups; src/node/cluster builds it and gives it the shards' router and the sessions.
 *
 *     link ─┬─ control   ─▶ the map, API keys
 *           ├─ messages  ─▶ replies: RemoteRouter    others: ShardInbox ─▶ local router
 *           └─ relay     ─▶ from homes: EdgeRelay    from edges: HomeRelay ─▶ sessions, calls
 */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import { shardOf, userAddress, type UserId } from "../domain/address.ts";
import type { MessageIds } from "../domain/message-id.ts";
import type { ShardId } from "../../storage/types.ts";
import type { ShardRouter } from "../home/messages/shard-router.ts";
import { decodeControl, encodeControl, type Control } from "./control.ts";
import type { Introduction } from "./link/handshake.ts";
import type { Link } from "./link/link.ts";
import { Links } from "./link/links.ts";
import { PRIORITY, type Priority } from "./link/priority.ts";
import type { Dialer, Wire, WireEvents } from "./link/wire.ts";
import { MapError } from "./map/map-file.ts";
import type { Maps, OwnedBy } from "./map/maps.ts";
import type { NodeId } from "./map/partition-map.ts";
import { EdgeRelay } from "./relay/edge-relay.ts";
import type { Moves } from "./moves/moves.ts";
import type { HomeRelay } from "./relay/home-relay.ts";
import { decodeRelay, RELAY } from "./relay/relay-packets.ts";
import { decodeEnvelope, KIND } from "./shard-messages/envelope.ts";
import { Followers } from "./shard-messages/followers.ts";
import { RemoteRouter } from "./shard-messages/remote-router.ts";
import { ShardInbox } from "./shard-messages/shard-inbox.ts";

export type ClusterParts = {
  readonly self: Pick<Introduction, "node" | "process" | "directory">;
  readonly secret: Uint8Array;
  readonly maps: Maps;
  readonly dialer: Dialer;
  readonly ids: MessageIds;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How long a node that asked for a group's standing gets its casts. */
  readonly leaseMs: number;
  /** Whether this node serves the shard now. */
  owns(shard: ShardId): boolean;
  /** A node can be reached again. */
  onReached(node: NodeId): void;
};

/** The far end of what other nodes want. Absent until the node serves. */
export type ClusterServices = {
  readonly homeRelay: HomeRelay;
  readonly moves: Moves;
  isApiKey(id: string, hash: string): Promise<boolean>;
  apiKeyAnswered(answer: Extract<Control, { t: "apiKeyIs" }>): void;
};

const FOLLOWERS_LOOK_MS = 10_000;

export class Cluster {
  readonly #parts: ClusterParts;
  readonly #links: Links;
  readonly #followers: Followers;
  readonly edgeRelay: EdgeRelay;
  #router: RemoteRouter | undefined;
  #inbox: ShardInbox | undefined;
  #services: ClusterServices | undefined;
  #cancelLook: () => void = () => {};

  constructor(parts: ClusterParts) {
    const { self, secret, maps, dialer, clock, random, logger, leaseMs } = parts;
    this.#parts = parts;
    this.#followers = new Followers(leaseMs);
    this.#links = new Links(
      { self, secret, map: () => maps.current, dialer, clock, random, logger },
      {
        opened: (link) => this.#opened(link),
        packet: (link, priority, packet) => this.#packet(link, priority, packet),
        closed: (link) => this.#closed(link),
      },
    );
    this.edgeRelay = new EdgeRelay({
      homeOf: (user) => this.#elsewhere(shardOf(userAddress(user))),
      linkTo: (node) => this.#links.to(node),
      clock,
    });
  }

  /** Call it once the node serves: from now on it has links. */
  start(services: ClusterServices): void {
    this.#services = services;
    this.#links.follow();
    this.#look();
  }

  stop(): void {
    this.#cancelLook();
    this.#links.stop();
    this.#router?.stop();
  }

  /** The router around that of the node's shards. Called again when the shards were opened anew. */
  routerAround(local: ShardRouter): ShardRouter {
    const { clock, maps, ids, logger, owns } = this.#parts;
    const followers = this.#followers;
    const mapVersion = (): number => maps.current.mapVersion;
    this.#router?.stop();
    this.#inbox = new ShardInbox({ local, owns, mapVersion, followers, ids, clock, logger });
    return (this.#router = new RemoteRouter({
      local,
      ownerOf: (shard) => this.#elsewhere(shard),
      mapVersion,
      linkTo: (node) => this.#links.to(node),
      followers,
      clock,
      firstId: this.#router?.nextId ?? 1,
    }));
  }

  /** A connection of another node to this one. @returns undefined if there is no room for it */
  accept(wire: Wire): WireEvents | undefined {
    return this.#links.accept(wire);
  }

  links(): Iterable<Link> {
    return this.#links.all();
  }

  /** Undefined while there is none. */
  linkTo(node: NodeId): Link | undefined {
    return this.#links.to(node);
  }

  sendControl(link: Link, control: Control): void {
    link.send(PRIORITY.control, encodeControl(control));
  }

  /** This node has begun to own the shard: tells all nodes. */
  owns(owned: OwnedBy): void {
    if (!this.#parts.maps.learnOwner(owned)) return;
    for (const link of this.#links.all()) this.sendControl(link, { t: "owned", shards: [owned] });
  }

  /** The map has changed: links follow it, and others are told. */
  mapChanged(): void {
    this.#links.follow();
    for (const link of this.#links.all()) this.sendControl(link, { t: "mapNote", ...this.#parts.maps.note() });
  }

  /** Owner of a shard by the map; undefined if it is this node. */
  #elsewhere(shard: ShardId): NodeId | undefined {
    const owner = this.#parts.maps.ownerOf(shard);
    return owner === this.#parts.self.node ? undefined : owner;
  }

  isHere(user: UserId): boolean {
    return this.#elsewhere(shardOf(userAddress(user))) === undefined;
  }

  #look(): void {
    this.#cancelLook = this.#parts.clock.after(FOLLOWERS_LOOK_MS, () => {
      this.#followers.expire(this.#parts.clock.monotonicMs());
      this.#look();
    });
  }

  // ---- from the links

  #opened(link: Link): void {
    this.sendControl(link, { t: "mapNote", ...this.#parts.maps.note() });
    const shards = [...this.#parts.maps.moved()];
    if (shards.length > 0) this.sendControl(link, { t: "owned", shards });
    this.#parts.onReached(link.peer.node);
  }

  #closed(link: Link): void {
    this.#router?.linkClosed(link);
    this.edgeRelay.linkClosed(link);
    this.#services?.homeRelay.linkClosed(link);
    this.#services?.moves.linkClosed(link);
  }

  /** Bytes that no node sends end the link; anything else that is thrown is a fault of this node. */
  #packet(link: Link, priority: Priority, packet: Buffer): void {
    try {
      if (priority === PRIORITY.messages) this.#message(link, packet);
      else if (priority === PRIORITY.relay) this.#relayed(link, packet);
      else if (priority === PRIORITY.control) this.#control(link, decodeControl(packet));
      else this.#services?.moves.came(link, packet);
    } catch (error) {
      this.#parts.logger.error("a packet of another node could not be handled", { node: link.peer.node, error });
      if (error instanceof RangeError) link.close(error.message);
    }
  }

  #message(link: Link, packet: Buffer): void {
    const envelope = decodeEnvelope(packet);
    switch (envelope.kind) {
      case KIND.outcome:
      case KIND.answer:
      case KIND.refusal:
      case KIND.postReply:
      case KIND.notOwner:
        return this.#router?.replied(link, envelope);
      default:
        return this.#inbox?.came(link, envelope);
    }
  }

  #relayed(link: Link, packet: Buffer): void {
    const relayed = decodeRelay(packet);
    if (relayed.kind >= RELAY.frame) this.edgeRelay.came(link, relayed);
    else this.#services?.homeRelay.came(link, relayed);
  }

  #control(link: Link, control: Control): void {
    const { maps } = this.#parts;
    switch (control.t) {
      case "mapNote":
        if (maps.isBehind(link.peer.node, control)) this.sendControl(link, { t: "mapWanted" });
        return;
      case "mapWanted":
        return this.sendControl(link, { t: "map", text: maps.text() });
      case "map":
        return this.#mapCame(link, control.text);
      case "owned":
        for (const owned of control.shards) maps.learnOwner(owned);
        return;
      case "takeOver":
        return this.#services?.moves.takeOver(control.shard, link);
      case "apiKey":
        return this.#apiKey(link, control);
      case "apiKeyIs":
        return this.#services?.apiKeyAnswered(control);
    }
  }

  #mapCame(link: Link, text: string): void {
    try {
      if (this.#parts.maps.learn(text)) this.mapChanged();
    } catch (error) {
      if (!(error instanceof MapError)) throw error;
      this.#parts.logger.error("the map of another node cannot be used", { node: link.peer.node, error });
    }
  }

  #apiKey(link: Link, { ask, key, hash }: Extract<Control, { t: "apiKey" }>): void {
    const answer = (isValid: boolean): void => this.sendControl(link, { t: "apiKeyIs", ask, isValid });
    const asked = this.#services?.isApiKey(key, hash) ?? Promise.resolve(false);
    asked.then(answer, () => answer(false));
  }
}
