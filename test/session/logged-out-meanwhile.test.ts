/** A device that is logged out while its hello is under way. */
import { expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { Device } from "../support/device.ts";
import { startTestNode } from "../support/test-node.ts";

test("a device that is logged out while its hello is under way does not stay connected", async () => {
  let looks = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() + 5 * ++looks };
  const node = await startTestNode({ sendBurst: 1_000_000 }, { clock });
  try {
    const [ann] = await node.api.users("ann");
    for (let n = 0; n < 100; n++) await node.api.group(ann!, `g-${n}`, []);
    await node.restart();
    await node.api.get("/v1/route/@ann", ann!.token);
    const device = await Device.open(node.url);
    device.send({ t: "hello", token: ann!.token });
    expect((await node.api.post("/v1/logout", ann!.token, {})).status).toBe(204);
    // On a slow machine the hello may be done before the logout, which finds the session then.
    expect([4500, 4502]).toContain((await device.end()).code);
  } finally {
    await node.stop();
  }
});
