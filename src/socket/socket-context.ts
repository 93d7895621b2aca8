/** What all sessions of a node share. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Limits } from "../protocol/frames.ts";
import type { Accounts } from "../service/types.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { OutboxFlusher } from "./outbox.ts";

export type SocketContext = {
  host: () => ShardHost;
  accounts: Accounts;
  limits: Limits;
  clock: Clock;
  logger: Logger;
  flusher: OutboxFlusher;
  node: string;
  heartbeatMs: number;
  /** Bound of one socket's send queue, bytes. */
  outboxBytesMax: number;
};
