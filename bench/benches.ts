/** The list of benches, in the order in which `all` runs them. */
import type { Bench } from "./bench.ts";
import { FANOUT } from "./benches/fanout.ts";
import { E2E } from "./e2e/e2e.ts";
import { PEERS } from "./peers/peers.ts";
import { STALLS } from "./stalls/stalls.ts";
import { STORAGE } from "./storage/storage.ts";

export const BENCHES = [E2E, FANOUT, STORAGE, STALLS, PEERS] as unknown as readonly Bench[];
