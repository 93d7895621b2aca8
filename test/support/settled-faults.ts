/** Nodes of this process between whose shards things are lost and late (test-node.ts): what a test asks for may be on its way. */
import type { FaultyRouter } from "./faulty-router.ts";
import { until } from "./wait.ts";

const routers = new Set<FaultyRouter>();

export const expectFaults = (router: FaultyRouter): void => void routers.add(router);

/** Where a test holds a disk, or has a receiver away, it waits in vain. */
const WAIT_MS = 4000;

/** What was said has come, as far as it is owed and can come. At once where there are no faults. */
export async function faultsSettled(): Promise<void> {
  for (const router of routers) {
    const giveUpAt = performance.now() + WAIT_MS;
    await until("what is lost has come", () => router.isSettled || performance.now() > giveUpAt);
  }
}
