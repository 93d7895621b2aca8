/** Nodes of this process between whose shards things are lost and late (test-node.ts): what a test asks for may be on its way. */
import { until } from "./wait.ts";

/** A router between shards on which something may be on its way. */
export type Settling = {
  /** Nothing is on its way, or owed. */
  readonly isSettled: boolean;
  /** Nothing is on its way. */
  readonly isIdle: boolean;
};

const routers = new Set<Settling>();
const heldDisks = new Set<object>();

export const expectFaults = (router: Settling): void => void routers.add(router);
export const forgetFaults = (router: Settling): void => void routers.delete(router);

/** Whether a router of this process loses anything: then a test cannot expect what no guarantee says. */
export const hasFaults = (): boolean =>
  process.env["FAULTY_ROUTER"] !== undefined || process.env["CLUSTER"] !== undefined;

/** What no guarantee dates, and a test of a process cannot see settle. Where nothing is lost, it has to hold at once. */
export async function comes(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  if (hasFaults()) await until(what, holds);
}

/** While a disk is held, nothing is confirmed. */
export const diskHeld = (disk: object): void => void heldDisks.add(disk);
export const diskReleased = (disk: object): void => void heldDisks.delete(disk);

/** Where a test has a receiver away, it waits in vain. */
const WAIT_MS = 4000;

/** What was said has come, as far as it is owed and can come. At once where there are no faults. */
export async function faultsSettled(): Promise<void> {
  for (const router of routers) {
    const giveUpAt = performance.now() + WAIT_MS;
    const isSettled = (): boolean => (heldDisks.size > 0 ? router.isIdle : router.isSettled);
    await until("what is lost has come", () => isSettled() || performance.now() > giveUpAt);
  }
}
