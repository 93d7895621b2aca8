/** Waits until the processes of a server reach each other: before that, they would refuse what they have to relay. */
import type { Clock } from "../../base/clock.ts";
import { AdminClient } from "../../cluster/admin-client.ts";
import type { NodeStatus } from "../../node/cluster/admin.ts";
import { adminSecretOf } from "../../node/cluster/cluster-settings.ts";

const LOOK_MS = 20;
/** Then the server is ready anyway: what can be served is served. */
const PATIENCE_MS = 10_000;

/** @param urls of the links of all */
export async function allLinked(urls: readonly string[], secret: string, clock: Clock): Promise<void> {
  const admin = new AdminClient(adminSecretOf(secret));
  const giveUpAt = clock.monotonicMs() + PATIENCE_MS;
  const isLinked = async (url: string): Promise<boolean> => {
    const { links } = await admin.call<NodeStatus>(url, "GET", "status");
    return new Set(links).size === urls.length - 1;
  };
  for (const url of urls) {
    while (clock.monotonicMs() < giveUpAt && !(await isLinked(url).catch(() => false)))
      await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve));
  }
}
