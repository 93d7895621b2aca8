/** One server has the WebSockets of clients and of other nodes: what a socket keeps tells them apart. */
import type { ServerWebSocket, WebSocketHandler } from "bun";
import { LinkSocketData, type LinkHandler } from "../../cluster/link/bun-wires.ts";
import type { SocketData } from "../../edge/socket/socket-server.ts";

type Either = ServerWebSocket<SocketData | LinkSocketData>;
type OfClient = ServerWebSocket<SocketData>;
type OfLink = ServerWebSocket<LinkSocketData>;

const isLink = (socket: Either): socket is OfLink => socket.data instanceof LinkSocketData;

export function withLinks(
  clients: WebSocketHandler<SocketData>,
  links: LinkHandler,
): WebSocketHandler<SocketData | LinkSocketData> {
  return {
    ...(clients as WebSocketHandler<SocketData | LinkSocketData>),
    open: (socket) => (isLink(socket) ? links.open(socket) : clients.open?.(socket as OfClient)),
    message: (socket, data) =>
      isLink(socket) ? links.message(socket, data) : clients.message?.(socket as OfClient, data),
    ping: (socket, data) => (isLink(socket) ? undefined : clients.ping?.(socket as OfClient, data)),
    pong: (socket, data) => (isLink(socket) ? undefined : clients.pong?.(socket as OfClient, data)),
    drain: (socket) => (isLink(socket) ? links.drain(socket) : clients.drain?.(socket as OfClient)),
    close: (socket, code, reason) =>
      isLink(socket) ? links.close(socket) : clients.close?.(socket as OfClient, code, reason),
  };
}
