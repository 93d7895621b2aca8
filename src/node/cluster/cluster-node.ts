/** Builds a node's part of a cluster, and joins it to the node: shards, sessions, calls and keys. */
import { join } from "node:path";
import { writeFileDurably } from "../../base/durable-file.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import { AdminAuth } from "../../cluster/admin-auth.ts";
import { ClusterApiKeys } from "../../cluster/api-keys.ts";
import { Cluster } from "../../cluster/cluster.ts";
import { createDialer, linkSocketHandler, type LinkHandler } from "../../cluster/link/bun-wires.ts";
import { Maps } from "../../cluster/map/maps.ts";
import type { NodeId } from "../../cluster/map/partition-map.ts";
import type { MoveStorage } from "../../cluster/moves/move-storage.ts";
import { Moves } from "../../cluster/moves/moves.ts";
import { HomeRelay } from "../../cluster/relay/home-relay.ts";
import { shardOf, type UserId } from "../../domain/address.ts";
import type { MessageIds } from "../../domain/message-id.ts";
import type { HttpApp } from "../../edge/http/app.ts";
import { BODY_TIMEOUT_MS } from "../../edge/http/body.ts";
import { answerRelayed, RelayedCalls } from "../../edge/http/relayed-calls.ts";
import { EdgeSession } from "../../edge/socket/edge-session.ts";
import type { SocketEnd } from "../../edge/socket/socket-end.ts";
import { apiKeyParts, type ApiKeyFile } from "../../home/accounts/api-keys.ts";
import { FollowedMirrors, LEASE_MS } from "../../home/mirrors/followed-mirrors.ts";
import type { Directory } from "../../home/services.ts";
import type { ClientConnection, ClientSocket } from "../../home/session/client-socket.ts";
import type { SocketContext } from "../../home/session/socket-context.ts";
import { SocketSession } from "../../home/session/socket-session.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { ShardHost, ShardHostPorts } from "../shard-host.ts";
import { Admin, type NodeProgress, type NodeStatus } from "./admin.ts";
import { ClusterMirrors } from "./cluster-mirrors.ts";
import { MAP_FILE, MOVED_FILE, type ClusterSettings } from "./cluster-settings.ts";
import { ShardAway } from "./moves/shard-away.ts";
import { ShardHere } from "./moves/shard-here.ts";
import { startLinkServer, type LinkServer } from "./link-server.ts";
import { shardSizes } from "./shard-sizes.ts";
import { start } from "./owner-cell.ts";
import { writeDurably } from "./write-durably.ts";
import { ShardOwnership } from "./ownership.ts";

const PROCESS_ID_BYTES = 12;
const TAKE_OVER_MS = 500;

export type ClusterNodeParts = {
  readonly settings: ClusterSettings;
  readonly data: string;
  readonly ids: MessageIds;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The open shards. @throws AppError unavailable while there are none */
  host(): ShardHost;
};

export class ClusterNode {
  readonly #parts: ClusterNodeParts;
  /** Released to this node, and being begun. */
  readonly #beginning = new Set<ShardId>();
  /** Released by this node, and not begun by the next owner. */
  readonly #awaited = new Map<ShardId, NodeId>();
  readonly #maps: Maps;
  readonly #cluster: Cluster;
  readonly #ownership: ShardOwnership;
  readonly #moves: Moves;
  readonly admin: Admin;
  #followed: FollowedMirrors | undefined;
  #isStopped = false;

  constructor(parts: ClusterNodeParts) {
    const { settings, clock, random, logger, ids, data } = parts;
    const { node, directory, secret, map } = settings;
    this.#parts = parts;
    this.#maps = new Maps(
      map,
      {
        logger,
        save: (text) => {
          writeFileDurably(join(data, MAP_FILE), Buffer.from(text), 0o600).catch((error: unknown) => {
            logger.warn("the newer map could not be kept for the next start", { error });
          });
        },
        saveMoved: (moved) => writeDurably(join(data, MOVED_FILE), JSON.stringify(moved)),
        onOwner: (shard, before, now) => this.#ownerChanged(shard, before, now),
      },
      settings.moved,
    );
    this.#ownership = new ShardOwnership(node, this.#maps, logger);
    this.#cluster = new Cluster({
      self: { node, directory, process: Buffer.from(random.bytes(PROCESS_ID_BYTES)).toString("base64url") },
      secret,
      maps: this.#maps,
      dialer: createDialer(clock),
      ids,
      clock,
      random,
      logger,
      leaseMs: LEASE_MS,
      owns: (shard) => this.#owns(shard),
      onReached: () => this.#offerAgain(),
    });
    this.#moves = new Moves({
      self: node,
      storage: this.#moveStorage(),
      linkTo: (to) => this.#cluster.linkTo(to),
      clock,
      logger,
    });
    this.admin = new Admin({
      auth: new AdminAuth(settings.adminSecret, clock, random),
      status: () => this.#status(),
      progress: () => this.#progress(),
      move: (shard, from, rate) => this.#moves.begin(shard, from, rate),
      learnMap: (text) => this.#learnMap(text),
    });
    this.#ownership.onReleased = (shard) => void this.#beginReleased(shard);
    this.#ownership.onAwaited = (shard, next) => this.#awaits(shard, next);
  }

  /** How the node's shards reach others. */
  get hostPorts(): Pick<ShardHostPorts, "router" | "mirrors" | "ownership"> {
    const isHere = (shard: ShardId): boolean => this.#maps.ownerOf(shard) === this.#parts.settings.node;
    return {
      ownership: this.#ownership,
      router: (local) => this.#cluster.routerAround(local),
      mirrors: (mirrorParts, local) => {
        const followed = new FollowedMirrors({ ...mirrorParts, isFollowed: (shard) => !isHere(shard) });
        this.#followed = followed;
        return new ClusterMirrors(local, followed, isHere);
      },
    };
  }

  get directory(): Directory {
    return {
      route: (address) => {
        const shard = shardOf(address);
        const node = this.#maps.ownerOf(shard);
        const { url, publicUrl } = this.#maps.current.nodes.get(node)!;
        return { shard, node, url: publicUrl ?? url };
      },
    };
  }

  apiKeys(local: ApiKeyFile): ClusterApiKeys {
    return new ClusterApiKeys({
      local,
      partsOf: apiKeyParts,
      links: () => this.#cluster.links(),
      send: (link, control) => this.#cluster.sendControl(link, control),
      clock: this.#parts.clock,
    });
  }

  /** HTTP: calls of users of other nodes are carried there. */
  app(app: HttpApp, signedFor: (token: string) => UserId | undefined, bodyBytesMax: number): HttpApp {
    return new RelayedCalls({
      app,
      relay: this.#cluster.edgeRelay,
      signedFor,
      bodyBounds: { bytesMax: bodyBytesMax, timeoutMs: BODY_TIMEOUT_MS },
    });
  }

  /** WebSockets of clients. */
  beginSocket(
    context: SocketContext,
    signedFor: (token: string) => UserId | undefined,
  ): (socket: ClientSocket, connection: ClientConnection) => SocketEnd {
    const parts = { context, relay: this.#cluster.edgeRelay, signedFor };
    return (socket, connection) => new EdgeSession(socket, parts, connection);
  }

  /** WebSockets of other nodes. */
  get linkHandler(): LinkHandler {
    return linkSocketHandler((wire) => this.#cluster.accept(wire));
  }

  /** Other nodes connect there, and not to the port for clients. */
  startLinkServer(): LinkServer {
    const { node } = this.#parts.settings;
    return startLinkServer(this, this.#maps.current.nodes.get(node)!.url);
  }

  /** The node serves: from now on it has links. */
  start(app: HttpApp, context: SocketContext, keyFile: ApiKeyFile, apiKeys: ClusterApiKeys): void {
    const homeRelay = new HomeRelay({
      begin: (socket, connection) => new SocketSession(socket, context, connection),
      answer: (call, signal) => answerRelayed(app, call, signal),
      logger: this.#parts.logger,
    });
    this.#cluster.start({
      homeRelay,
      moves: this.#moves,
      isApiKey: (id, hash) => keyFile.isKnown(id, hash),
      apiKeyAnswered: (answer) => apiKeys.answered(answer),
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cluster.stop();
  }

  // ---- moves

  #moveStorage(): MoveStorage {
    const { data, settings } = this.#parts;
    const host = (): ShardHost => this.#parts.host();
    const onBegun = (shard: ShardId, term: number): void => this.#cluster.owns({ shard, node: settings.node, term });
    return {
      away: (shard, to) => {
        const url = (): string | undefined => this.#maps.current.nodes.get(to)?.publicUrl;
        return ShardAway.open(host(), data, shard, { to, self: settings.node, url });
      },
      here: (shard) => new ShardHere(shard, { host, directory: data, self: settings.node, onBegun }),
    };
  }

  /** Asks the next owner of a shard to begin, until it does: its move may have failed after the last record. */
  #awaits(shard: ShardId, next: NodeId): void {
    if (this.#awaited.has(shard)) return;
    this.#awaited.set(shard, next);
    const { clock, settings } = this.#parts;
    const ask = (): void => {
      if (this.#isStopped || this.#maps.ownerOf(shard) !== settings.node) return void this.#awaited.delete(shard);
      const link = this.#cluster.linkTo(next);
      if (link !== undefined) this.#cluster.sendControl(link, { t: "takeOver", shard });
      clock.after(TAKE_OVER_MS, ask);
    };
    clock.after(TAKE_OVER_MS, ask);
  }

  /** A crash came between the last record of the owner before and the first of this node. */
  async #beginReleased(shard: ShardId): Promise<void> {
    // A move that is under way begins it by itself, or replaces its files first.
    if (this.#beginning.has(shard) || this.#moves.isComing(shard)) return;
    this.#beginning.add(shard);
    const { logger, settings } = this.#parts;
    try {
      const log = this.#parts.host().store.shard(shard);
      await start(log, settings.node);
      this.#cluster.owns({ shard, node: settings.node, term: log.term });
      this.#parts.host().begun(shard);
    } catch (error) {
      logger.error("a shard that was released to this node cannot be begun", { shard, error });
    } finally {
      this.#beginning.delete(shard);
    }
  }

  /**
   * Groups of the shard are now followed, or no longer. Members who are connected here come back with their cursors, so
   * that nobody misses an entry, or gets one twice.
   */
  #ownerChanged(shard: ShardId, before: NodeId, now: NodeId): void {
    const { node } = this.#parts.settings;
    if (before !== node && now !== node) return this.#followed?.ownerChanged(shard);
    const host = this.#hostIfOpen();
    if (host === undefined) return;
    this.#followed?.forget(shard);
    host.turns.run(host.sendMembersOf(shard)).catch((error: unknown) => {
      this.#parts.logger.error("members could not be told that a group has moved", { shard, error });
    });
  }

  #hostIfOpen(): ShardHost | undefined {
    try {
      return this.#parts.host();
    } catch {
      return undefined;
    }
  }

  #learnMap(text: string): boolean {
    const isNew = this.#maps.learn(text);
    if (isNew) this.#cluster.mapChanged();
    return isNew;
  }

  #status(): NodeStatus {
    const { mapVersion: _, fingerprint: _also, ...progress } = this.#progress();
    return {
      ...progress,
      map: this.#maps.text(),
      links: [...this.#cluster.links()].map(({ peer }) => peer.node),
      bytes: shardSizes(this.#parts.data, this.#parts.host(), this.#ownership.shards()),
    };
  }

  #progress(): NodeProgress {
    const host = this.#parts.host();
    return {
      node: this.#parts.settings.node,
      cluster: this.#maps.current.cluster,
      ...this.#maps.note(),
      moved: [...this.#maps.moved()],
      moves: this.#moves.reports(),
      unserved: this.#ownership.shards().filter((shard) => !host.owns(shard)),
    };
  }

  #owns(shard: ShardId): boolean {
    try {
      return this.#parts.host().owns(shard);
    } catch {
      // The shards are being opened: the other node tries again.
      return false;
    }
  }

  /** Handoffs that wait for a node are offered at once when it is back. */
  #offerAgain(): void {
    try {
      this.#parts.host().hurryOffers();
    } catch {
      // The shards are being opened, and offer all they have then.
    }
  }
}
