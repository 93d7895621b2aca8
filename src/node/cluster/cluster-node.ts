/** Builds a node's part of a cluster, and joins it to the node: shards, sessions, calls and keys. */
import { join } from "node:path";
import { writeFileDurably } from "../../base/durable-file.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import { ClusterApiKeys } from "../../cluster/api-keys.ts";
import { Cluster } from "../../cluster/cluster.ts";
import { createDialer, linkSocketHandler, type LinkHandler } from "../../cluster/link/bun-wires.ts";
import { Maps } from "../../cluster/map/maps.ts";
import { ownerOf } from "../../cluster/map/partition-map.ts";
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
import { ClusterMirrors } from "./cluster-mirrors.ts";
import { MAP_FILE, type ClusterSettings } from "./cluster-settings.ts";
import { ShardOwnership } from "./ownership.ts";

const PROCESS_ID_BYTES = 12;

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
  readonly #maps: Maps;
  readonly #cluster: Cluster;
  readonly #ownership: ShardOwnership;

  constructor(parts: ClusterNodeParts) {
    const { settings, clock, random, logger, ids, data } = parts;
    const { node, directory, secret, map } = settings;
    this.#parts = parts;
    this.#maps = new Maps(map, {
      logger,
      save: (text) => {
        writeFileDurably(join(data, MAP_FILE), Buffer.from(text), 0o600).catch((error: unknown) => {
          logger.warn("the newer map could not be kept for the next start", { error });
        });
      },
      onChange: () => {},
    });
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
  }

  /** How the node's shards reach others. */
  get hostPorts(): Pick<ShardHostPorts, "router" | "mirrors" | "ownership"> {
    const isHere = (shard: ShardId): boolean => ownerOf(this.#maps.current, shard) === this.#parts.settings.node;
    return {
      ownership: this.#ownership,
      router: (local) => this.#cluster.routerAround(local),
      mirrors: (mirrorParts, local) => {
        const followed = new FollowedMirrors({ ...mirrorParts, isFollowed: (shard) => !isHere(shard) });
        return new ClusterMirrors(local, followed, isHere);
      },
    };
  }

  get directory(): Directory {
    return {
      route: (address) => {
        const shard = shardOf(address);
        const node = ownerOf(this.#maps.current, shard);
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

  /** The node serves: from now on it has links. */
  start(app: HttpApp, context: SocketContext, keyFile: ApiKeyFile, apiKeys: ClusterApiKeys): void {
    const homeRelay = new HomeRelay({
      begin: (socket, connection) => new SocketSession(socket, context, connection),
      answer: (call, signal) => answerRelayed(app, call, signal),
      logger: this.#parts.logger,
    });
    this.#cluster.start({
      homeRelay,
      isApiKey: (id, hash) => keyFile.isKnown(id, hash),
      apiKeyAnswered: (answer) => apiKeys.answered(answer),
    });
  }

  stop(): void {
    this.#cluster.stop();
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
