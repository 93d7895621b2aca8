/** What posts to large groups cause: each is written once and leaves for every member. */
import { expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { FAN_OUT, takeFanOut } from "../../src/home/sending/fan-out.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import { startTestNode } from "../support/test-node.ts";

const MEMBERS = 80;
const TEXT = "x".repeat(16_000);
const COST = MEMBERS * (TEXT.length + 256);
/** Of this size go into a burst. */
const POSTS_OF_BURST = Math.floor(FAN_OUT.burst / COST);
const POSTS = POSTS_OF_BURST + 60;
/** Nothing comes back while the posts are on their way, however slow the machine is. */
const stopped: Clock = { ...systemClock, monotonicMs: () => 0 };

test("a post is paid for by as many members as it goes to", async () => {
  const node = await startTestNode({ sendRate: 10_000, sendBurst: 10_000 }, { clock: stopped });
  try {
    const names = Array.from({ length: MEMBERS }, (_, n) => `member-${n}`);
    const [author, other] = await node.api.users(...names);
    await node.api.group(author!, "crowd", names.slice(1));
    const device = await node.connect(author!);
    const answers = await Promise.all(Array.from({ length: POSTS }, () => device.ask("#crowd", TEXT)));
    const refused = answers.findIndex(({ t }) => t === "error");
    expect(refused).toBe(POSTS_OF_BURST);
    expect(answers[refused]).toMatchObject({ code: "rate_limited", retryAfterMs: expect.any(Number) });
    // None behind the first refused slips in (G4).
    expect(answers.slice(refused).every(({ t }) => t === "error")).toBe(true);
    expect((await (await node.connect(other!)).ask("#crowd", TEXT)).t).toBe("sent");
  } finally {
    await node.stop();
  }
}, 30_000);

test("small posts are free, one that is larger than a burst takes all of it, and after the stated wait there is room", () => {
  const author = { sendRefusedUntil: 0 } as UserState;
  const refusalOf = (members: number, characters: number, nowMs: number): { retryAfterMs?: number } | undefined => {
    try {
      takeFanOut(author, members, characters, nowMs);
      return undefined;
    } catch (error) {
      return error as { retryAfterMs?: number };
    }
  };
  for (let n = 0; n < 10_000; n++) expect(refusalOf(100, 100, 0)).toBe(undefined);
  expect(refusalOf(100_000, 16_000, 0)).toBe(undefined);
  const retryAfterMs = refusalOf(1000, 16_000, 0)!.retryAfterMs!;
  expect(author.sendRefusedUntil).toBe(retryAfterMs);
  expect(refusalOf(1000, 16_000, retryAfterMs - 50)).not.toBe(undefined);
  expect(refusalOf(1000, 16_000, retryAfterMs + 1)).toBe(undefined);
});
