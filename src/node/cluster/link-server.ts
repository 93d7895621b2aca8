/** A port of its own for the links of other nodes, where the port for clients is shared among processes. */
import { AppError } from "../../base/errors.ts";
import { LINK_PATH, LinkSocketData } from "../../cluster/link/bun-wires.ts";
import { problemResponse } from "../../edge/http/problem.ts";
import { pathOf } from "../../edge/http/query.ts";
import { isUpgrade } from "../upgrades.ts";
import { ADMIN_PREFIX } from "./admin.ts";
import type { ClusterNode } from "./cluster-node.ts";

export type LinkServer = { stop(): Promise<void> };

/** @param url where the map says that other nodes reach this one */
export function startLinkServer(cluster: ClusterNode, url: string): LinkServer {
  const { hostname, port } = new URL(url);
  const server = Bun.serve<LinkSocketData>({
    hostname,
    port: Number(port),
    reusePort: false,
    development: false,
    websocket: cluster.linkHandler,
    fetch(request, listener) {
      const path = pathOf(request.url);
      if (path === LINK_PATH && isUpgrade(request) && listener.upgrade(request, { data: new LinkSocketData() }))
        return undefined;
      if (path.startsWith(ADMIN_PREFIX) && path !== LINK_PATH) return cluster.admin.fetch(request, path);
      return problemResponse(new AppError("not_found", "this port is for links between nodes"));
    },
  });
  return { stop: () => server.stop(true) };
}
