/** What all sessions of a node share. */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { UserId } from "../../domain/address.ts";
import type { FrameRates } from "../../domain/limits.ts";
import type { Limits } from "../../protocol/frames.ts";
import type { Accounts } from "../services.ts";
import type { ReadBudget } from "../reading/read-budget.ts";
import type { Shard } from "../shard.ts";
import type { FrameTurns } from "./frame-turns.ts";
import type { OutboxFlusher } from "./outbox-flusher.ts";
import type { Penalties } from "./penalties.ts";
import type { UserShares } from "./user-shares.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";

export type SocketContext = {
  /** The home shard of a user. */
  home: (user: UserId) => Shard;
  accounts: Accounts;
  limits: Limits;
  clock: Clock;
  logger: Logger;
  flusher: OutboxFlusher;
  frameRates: FrameRates;
  shares: UserShares;
  penalties: Penalties;
  turns: FrameTurns;
  waiting: WaitingBytes;
  /** What catch-ups may read. */
  reads: ReadBudget;
  node: string;
  heartbeatMs: number;
  /** Bound of one socket's send queue, bytes. */
  outboxBytesMax: number;
};
