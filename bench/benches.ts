/** The list of benches, in the order in which `all` runs them. */
import type { Bench } from "./bench.ts";
import { CHURN } from "./benches/churn.ts";
import { DIRECT } from "./benches/direct.ts";
import { FANOUT } from "./benches/fanout.ts";
import { GROWTH } from "./benches/growth.ts";
import { HISTORY } from "./benches/history.ts";
import { IDLE } from "./benches/idle.ts";
import { OPEN } from "./benches/open.ts";
import { POLL } from "./benches/poll.ts";
import { RESTART } from "./benches/restart.ts";
import { RESUME } from "./benches/resume.ts";
import { E2E } from "./e2e/e2e.ts";
import { PEERS } from "./peers/peers.ts";
import { STALLS } from "./stalls/stalls.ts";
import { STORAGE } from "./storage/storage.ts";

export const BENCHES = [
  ...[E2E, DIRECT, OPEN, FANOUT, IDLE, RESUME, HISTORY, POLL, RESTART, GROWTH, CHURN, STORAGE, STALLS, PEERS],
] as unknown as readonly Bench[];
