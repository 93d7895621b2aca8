/**
 * One server process: builds all parts, listens, drains. Beside src/main.ts, it is the only file that knows all parts.
 */
import { join } from "node:path";
import { systemClock, type Clock } from "../base/clock.ts";
import { StepTurns } from "../base/steps.ts";
import { AppError } from "../base/errors.ts";
import { loadOrCreateKey } from "../base/key-file.ts";
import { createLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import type { RunningNode } from "../cli/serve.ts";
import { limitsOf, type ServeOptions } from "../cli/serve-options.ts";
import { readRate, socketFrameRates, userFrameRates } from "../domain/limits.ts";
import { LINK_PATH, LinkSocketData } from "../cluster/link/bun-wires.ts";
import type { UserId } from "../domain/address.ts";
import { ID_KEY_BYTES, MessageIds } from "../domain/message-id.ts";
import { createHttpApp } from "../edge/http/app.ts";
import { callRateBounds, CallRates } from "../edge/http/call-rates.ts";
import { clientAddress, fairnessKey } from "../edge/http/client-address.ts";
import { problemResponse } from "../edge/http/problem.ts";
import { pathOf } from "../edge/http/query.ts";
import { CLOSE } from "../protocol/codes.ts";
import { AccountService } from "../home/accounts/accounts.ts";
import { ApiKeyFile } from "../home/accounts/api-keys.ts";
import { createDirectory } from "./directory.ts";
import { createErasures } from "../home/erasing/erasures.ts";
import { additionRates, GroupAdditions } from "../home/groups/group-additions.ts";
import { createGroups } from "../home/groups/groups.ts";
import { createHistory } from "../home/reading/history.ts";
import { KnownClients } from "../home/accounts/known-clients.ts";
import { DEFAULT_LOGIN_THROTTLE, LoginThrottle } from "../home/accounts/login-throttle.ts";
import { createMessaging } from "../home/sending/messaging.ts";
import { DEFAULT_PASSWORD_OPTIONS, Passwords } from "../home/accounts/passwords.ts";
import { ReadBudget } from "../home/reading/read-budget.ts";
import { createSync } from "../home/reading/sync.ts";
import { loadOrCreateTokenKey, Tokens } from "../home/accounts/tokens.ts";
import type { Directory, Services } from "../home/services.ts";
import { createUserCells } from "../home/accounts/user-cells.ts";
import type { GroupMirrors } from "../home/group-mirror.ts";
import type { ShardRouter } from "../home/messages/shard-router.ts";
import type { MirrorParts } from "../home/mirrors/mirror-parts.ts";
import type { Home } from "../home/shard.ts";
import { Refusals } from "../home/refusals.ts";
import { closeAll } from "../home/session.ts";
import { Admission } from "../edge/socket/admission.ts";
import { FrameTurns } from "../home/session/frame-turns.ts";
import { OutboxFlusher } from "../home/session/outbox-flusher.ts";
import { Penalties } from "../home/session/penalties.ts";
import { createSocketHandler, type SocketData } from "../edge/socket/socket-server.ts";
import type { ClientConnection, ClientSocket } from "../home/session/client-socket.ts";
import { SocketSession } from "../home/session/socket-session.ts";
import type { SocketEnd } from "../edge/socket/socket-end.ts";
import { UserShares } from "../home/session/user-shares.ts";
import { WaitingBytes } from "../home/session/waiting-bytes.ts";
import { version } from "../../package.json" with { type: "json" };
import { AcceptPace } from "./accept-pace.ts";
import { ADMIN_PREFIX } from "./cluster/admin.ts";
import { ClusterNode } from "./cluster/cluster-node.ts";
import { clusterSettings } from "./cluster/cluster-settings.ts";
import { withLinks } from "./cluster/with-links.ts";
import { ClosedSockets } from "./closed-sockets.ts";
import { ConnectionRoom, socketsMax } from "./connection-room.ts";
import { Connections } from "./connections.ts";
import { descriptorBudget, openDescriptors, systemDescriptors } from "./descriptors.ts";
import { kernelSockets } from "./kernel-sockets.ts";
import { listenerGate } from "./listener-gate.ts";
import { Maintenance, type MaintenanceTimes } from "./maintenance/maintenance.ts";
import { ReadWatch, type ReadWatchTimes } from "./read-watch.ts";
import type { ShardHostPorts } from "./shard-host.ts";
import { ShardKeeper } from "./shard-keeper.ts";
import { UpgradeTokens } from "./upgrade-tokens.ts";
import { isUpgrade, Upgrades } from "./upgrades.ts";
import { DescriptorReserve } from "../../storage/vfs/descriptor-reserve.ts";
import { fileSystemOf, type FileSystem } from "../../storage/vfs/file-system.ts";
import type { HeldDirectory } from "../../storage/vfs/held-directory.ts";

const MIB = 1 << 20;
/** WebSockets that may be open without a `hello`. */
const STRANGERS_MAX = 2048;
const ADDRESS_STRANGERS_MAX = 512;
/** How many connections of one address may be closed for misbehaving before its next ones are refused. */
const STRIKES = { perSecond: 0.5, burst: 20 };
/** Bytes that may wait in all sockets of a user: this much, or so many full send queues. */
const USER_WAITING_BYTES = 32 * MIB;
const OUTBOXES_PER_USER = 16;
const SYNC_TIMEOUT_S = 75;
const IDLE_TIMEOUT_S = 30;
const COME_BACK_MS = 1000;
const HEALTH_PATHS = new Set(["/healthz", "/readyz"]);

export type NodeParts = {
  /**
   * The locked data directory; `options.data` is its `at`. If absent, nothing checks whether the directory was moved.
   */
  held?: HeldDirectory;
  files?: FileSystem;
  clock?: Clock;
  maintenanceTimes?: Partial<MaintenanceTimes>;
  checkDirectoryMs?: number;
  readWatchTimes?: Partial<ReadWatchTimes>;
  walFileBytes?: number;
  /** Wraps the router of this node. */
  router?: (local: ShardRouter) => ShardRouter;
  /** How the homes of members see groups. Default: the groups' own states, since all groups are on this node. */
  mirrors?: (parts: MirrorParts) => GroupMirrors;
  /** Receives the lines of the server's log. Default: stderr. */
  log?: (line: string) => void;
};

/**
 * @param parts replacements for the machine's own, for tests
 * @throws what src/cli/startup-errors.ts turns into a line and an exit status
 */
export async function startNode(
  options: ServeOptions,
  {
    clock = systemClock,
    maintenanceTimes,
    checkDirectoryMs,
    readWatchTimes = {},
    router,
    mirrors,
    ...parts
  }: NodeParts = {},
): Promise<RunningNode> {
  const random = systemRandom;
  const logger = createLogger(
    options.logLevel,
    parts.log ?? ((line) => void process.stderr.write(line)),
    clock.now,
    parts.held?.named,
  );
  const limits = limitsOf(options);
  const settings = await clusterSettings(options, random);
  const idKey = await loadOrCreateKey(join(options.data, "id.key"), ID_KEY_BYTES, random);
  const ids = new MessageIds(idKey);
  const tokens = await Tokens.open(await loadOrCreateTokenKey(options.data, random), clock);
  const passwords = await Passwords.open(passwordOptions(options), random);
  const refusals = new Refusals({ clock, logger });
  const descriptors = systemDescriptors();
  const budget = descriptorBudget(descriptors.limit);
  const reserve = new DescriptorReserve(budget.log);
  const connections = new Connections(clock);
  const cluster =
    settings &&
    new ClusterNode({ settings, data: options.data, ids, clock, random, logger, host: () => keeper.host() });
  const keeper: ShardKeeper = await ShardKeeper.open(
    {
      directory: options.data,
      memtableBytesMax: options.memtableMb * MIB,
      walBytesMax: options.walMb * MIB,
      segmentBytesMax: options.segmentMb * MIB,
      readHandlesMax: budget.readHandles,
      writersMax: budget.writers,
      files: fileSystemOf(reserve.calls),
      damage: options.strict ? "refuse to open" : "close",
      ...parts,
    },
    {
      clock,
      ids,
      limits,
      logger,
      refusals,
      stateBytesMax: options.stateMb * MIB,
      ...cluster?.hostPorts,
      ...routerPort(cluster?.hostPorts.router, router),
      ...(mirrors && { mirrors }),
    },
    checkDirectoryMs,
  );
  const home: Home = (user) => keeper.host().home(user);
  const accounts = new AccountService({
    cells: createUserCells(home),
    passwords,
    tokens,
    throttle: new LoginThrottle(DEFAULT_LOGIN_THROTTLE, clock),
    clients: new KnownClients(idKey),
    clock,
    random,
    isRegistrationOpen: options.registration === "open",
  });
  const maintenance = new Maintenance({
    host: keeper.host,
    isOpen: () => keeper.isOpen,
    clock,
    logger,
    keepDays: options.keepDays,
    ...(maintenanceTimes === undefined ? {} : { times: maintenanceTimes }),
  });
  /** The port is shared with the other processes of this server (src/cli/processes). */
  const isShared = options.processOf !== undefined;
  let isDraining = false;
  let url = "";
  const reads = new ReadBudget(readRate(options.readRate), clock);
  const keyFile = new ApiKeyFile(options.processOf ?? options.data, clock, (error) =>
    logger.warn("api keys cannot be read", { error }),
  );
  const clusterKeys = cluster?.apiKeys(keyFile);
  const services: Services = {
    accounts,
    apiKeys: clusterKeys ?? keyFile,
    messaging: createMessaging(home),
    groups: createGroups(
      home,
      random,
      new GroupAdditions(additionRates(limits.groupMembersMax, options.groupAddsMax), clock),
      (group) => maintenance.retentionChanged(group),
      (shard) => !keeper.host().store.isDamaged(shard),
    ),
    history: createHistory(home, reads),
    sync: createSync(home, reads),
    erasures: createErasures({
      home,
      isWritable: () => keeper.isOpen,
      onRequest: (user) => maintenance.eraseUser(user),
    }),
    directory: directoryOf(cluster, isShared, options.nodeName, () => options.publicUrl ?? url),
    health: {
      notReadyReason: () => refusals.notReadyReason(),
      damagedShards: () => keeper.damagedShards,
    },
  };
  const ownApp = createHttpApp({ services, limits, version, log: logger, random });
  const signedFor = (token: string): UserId | undefined => tokens.signedFor(token);
  const app = cluster?.app(ownApp, signedFor, limits.frameBytesMax) ?? ownApp;
  const sockets = new Set<SocketEnd>();
  const { heartbeatMs } = options;
  const node = settings?.node ?? options.nodeName;
  const context = {
    home,
    accounts,
    limits,
    clock,
    logger,
    flusher: new OutboxFlusher(clock, (error) => logger.error("a socket could not be written to", { error })),
    frameRates: socketFrameRates(limits),
    shares: new UserShares(userFrameRates(limits), clock),
    penalties: new Penalties(clock),
    turns: new FrameTurns(clock),
    reads,
    waiting: new WaitingBytes({
      perUserBytes: Math.max(USER_WAITING_BYTES, options.outboxKb * 1024 * OUTBOXES_PER_USER),
      perNodeBytes: options.socketMemoryMb * MIB,
    }),
    node,
    heartbeatMs,
    outboxBytesMax: options.outboxKb * 1024,
  };
  const callRates = new CallRates(callRateBounds(options.callRate), clock);
  const admission = new Admission(
    {
      total: Math.min(options.connectionsMax, socketsMax(descriptors, budget)),
      perAddress: options.addressConnectionsMax,
      beforeHello: STRANGERS_MAX,
      beforeHelloPerAddress: ADDRESS_STRANGERS_MAX,
      strikes: STRIKES,
    },
    clock,
  );
  const upgrades = new Upgrades({
    connections,
    admission,
    tokens: new UpgradeTokens(tokens, context.penalties, clock),
    clock,
    perSecond: options.connectRate,
  });
  const begin =
    cluster?.beginSocket(context, signedFor) ??
    ((socket: ClientSocket, connection: ClientConnection) => new SocketSession(socket, context, connection));
  const clients = createSocketHandler({ outboxBytesMax: context.outboxBytesMax, heartbeatMs, begin }, sockets);
  const server = Bun.serve<SocketData | LinkSocketData>({
    hostname: options.host,
    port: options.port,
    idleTimeout: IDLE_TIMEOUT_S,
    development: false,
    // With `true`, Bun shares the port in production mode, and two servers would split the users between two data
    // directories. The processes of one server know each other.
    reusePort: isShared,
    websocket: cluster === undefined ? clients : withLinks(clients, cluster.linkHandler),
    error(error) {
      logger.error("request failed", { error });
      return problemResponse(new AppError("internal", "unexpected error; the server's log has the details"));
    },
    fetch(request, listener) {
      const pathname = pathOf(request.url);
      if (isDraining && !HEALTH_PATHS.has(pathname)) return problemResponse(goingAway());
      if (pathname === "/v1/ws" && isUpgrade(request)) return upgrades.answer(request, listener);
      if (cluster !== undefined && pathname === LINK_PATH && isUpgrade(request))
        return listener.upgrade(request, { data: new LinkSocketData() }) ? undefined : problemResponse(noLink());
      if (pathname === "/v1/sync") listener.timeout(request, SYNC_TIMEOUT_S);
      if (cluster !== undefined && pathname.startsWith(ADMIN_PREFIX)) return cluster.admin.fetch(request, pathname);
      const peer = listener.requestIP(request);
      const clientIp = clientAddress(peer?.address, request.headers);
      const refusal = HEALTH_PATHS.has(pathname)
        ? undefined
        : callRates.refusal(fairnessKey(clientIp), request.headers);
      if (refusal !== undefined) return problemResponse(refusal);
      const answer = app.fetch(request, clientIp === undefined ? {} : { clientIp });
      return Promise.resolve(answer).finally(connections.use(peer));
    },
  });
  url = `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${server.port}`;
  refusals.watch(keeper.refusalSource);
  const kernel = kernelSockets();
  const onLook = (): void => reserve.refill();
  const listener = kernel?.listener(server.port!, descriptors.limit);
  const gate = listener === undefined ? undefined : listenerGate(listener);
  const room =
    kernel &&
    new ConnectionRoom({ connections, clock, logger, descriptors, budget, kernel, gate, port: server.port!, onLook });
  const pace = gate && new AcceptPace(gate, clock);
  upgrades.onRefused = () => pace?.refused();
  const readWatch =
    kernel &&
    new ReadWatch({ connections, clock, kernel, port: server.port!, openDescriptors, cpuMs, times: readWatchTimes });
  const closedSockets =
    kernel && new ClosedSockets({ connections, clock, kernel, port: server.port!, openDescriptors });
  const links = isShared ? cluster?.startLinkServer() : undefined;
  if (cluster !== undefined) cluster.start(ownApp, context, keyFile, clusterKeys!);
  logger.info("ready", keeper.opened);
  const { promise: closed, resolve: resolveClosed } = Promise.withResolvers<void>();

  return {
    url,
    closed,
    async drain() {
      if (isDraining) return closed;
      isDraining = true;
      refusals.begin("draining");
      await readWatch?.stop();
      await closedSockets?.stop();
      pace?.stop();
      await room?.stop();
      maintenance.stop();
      const end = clock.monotonicMs() + options.drainMs;
      const turns = new StepTurns(clock);
      // The host may be replaced during the drain if the log fails. This is the one whose senders are notified.
      const host = keeper.isOpen ? keeper.host() : undefined;
      if (host !== undefined) {
        await host.store.idle();
        await turns.run(closeAll(host.sessions(), CLOSE.goingAway, "the server is going away", COME_BACK_MS));
      }
      await turns.run(closeAll(sockets, CLOSE.goingAway, "the server is going away", COME_BACK_MS));
      cluster?.stop();
      const patience = Promise.withResolvers<void>();
      const cancelPatience = clock.after(COME_BACK_MS, patience.resolve);
      await Promise.race([server.stop(), patience.promise]);
      cancelPatience();
      await maintenance.quiet();
      await keeper.close(Math.max(0, end - clock.monotonicMs()));
      await maintenance.ended();
      await server.stop(true);
      await links?.stop();
      refusals.stop();
      reserve.release();
      resolveClosed();
    },
  };
}

/** Processes that share a port have one URL for clients, and URLs of their own for links alone. */
function directoryOf(
  cluster: ClusterNode | undefined,
  isShared: boolean,
  nodeName: string,
  url: () => string,
): Directory {
  if (cluster === undefined) return createDirectory(nodeName, url);
  const { directory } = cluster;
  return isShared ? { route: (address) => ({ ...directory.route(address), url: url() }) } : directory;
}

function passwordOptions(options: ServeOptions) {
  return { ...DEFAULT_PASSWORD_OPTIONS, memoryKiB: options.argon2MemoryKb, passes: options.argon2Passes };
}

/** CPU time that this process has used, ms. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const goingAway = (): AppError =>
  new AppError("unavailable", "the server is going away; come back", { retryAfterMs: COME_BACK_MS });

const noLink = (): AppError => new AppError("bad_request", "this path is for links between nodes");

type RouterPort = NonNullable<ShardHostPorts["router"]>;

/** The router of a cluster, and what a test wraps around it. */
function routerPort(cluster: RouterPort | undefined, test: RouterPort | undefined): Pick<ShardHostPorts, "router"> {
  if (cluster === undefined || test === undefined) return test === undefined ? {} : { router: test };
  return { router: (local) => test(cluster(local)) };
}
