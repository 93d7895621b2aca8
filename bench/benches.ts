/** The list of benches, in the order in which `all` runs them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Bench } from "./bench.ts";
import { FANOUT } from "./benches/fanout.ts";
import { E2E } from "./e2e/e2e.ts";
import { STALLS } from "./stalls/stalls.ts";
import { STORAGE } from "./storage/storage.ts";

/** A bench of other servers is in the list when its file is there. */
const PEERS = join(import.meta.dir, "peers/peers.ts");

export async function allBenches(): Promise<readonly Bench[]> {
  const peers = existsSync(PEERS) ? [((await import(PEERS)) as { PEERS: Bench }).PEERS] : [];
  return [...(BENCHES as unknown as Bench[]), ...peers];
}

const BENCHES = [E2E, FANOUT, STORAGE, STALLS];
