/** What a server does beside messages: packs what was sealed, and finishes in the files what a crash left. */
import { expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const TEXT_BYTES = 12_000;
const text = (): string => crypto.getRandomValues(new Uint8Array(TEXT_BYTES)).toBase64();

function segmentBytes(node: TestNode): number {
  const names = readdirSync(node.dataDirectory, { recursive: true, encoding: "utf8" });
  const sizes = names
    .filter((name) => /segment-\d+\.db$/.test(name))
    .map((name) => statSync(join(node.dataDirectory, name), { throwIfNoEntry: false })?.size ?? 0);
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function fill(node: TestNode, ann: Credentials): Promise<void> {
  const device = await node.connect(ann);
  for (let i = 0; i < 100; i++) await device.say("@ann", text());
  await device.close();
}

test("segments that are sealed are packed tighter by themselves, and say the same", async () => {
  const never = 86_400_000;
  const upkeepTimes = { firstMs: 20, firstCompactMs: never };
  const node = await startTestNode({ segmentMb: 1 }, { upkeepTimes });
  try {
    const [ann] = (await node.api.users("ann")) as [Credentials];
    // Each fills a segment; the first is sealed when the second is begun.
    for (let i = 0; i < 3; i++) {
      await fill(node, ann);
      await node.restart();
    }
    const before = segmentBytes(node);
    expect(before).toBeGreaterThan(3 << 20);
    const history = await node.api.history(ann, "@ann");
    upkeepTimes.firstCompactMs = 1;
    await node.restart();
    await until("it is packed tighter", () => segmentBytes(node) < 0.9 * before);
    expect(await node.api.history(ann, "@ann")).toEqual(history);
    await node.restart();
    expect(await node.api.history(ann, "@ann")).toEqual(history);
  } finally {
    await node.stop();
  }
});
