/** Bytes that wait in sockets, over all of them. */
import { describe, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { UserId } from "../../src/domain/address.ts";
import { FrameBuckets } from "../../src/home/session/frame-budget.ts";
import { CATCH_UP_STALLED_MS } from "../../src/home/session/stall-watch.ts";
import { UserShare } from "../../src/home/session/user-shares.ts";
import { WaitingBytes, type Holder } from "../../src/home/session/waiting-bytes.ts";
import { Device, FROM_THE_BEGINNING } from "../support/device.ts";
import { SlowReader } from "../support/slow-reader.ts";
import { startTestNode } from "../support/test-node.ts";
import { within } from "../support/wait.ts";

const RATES = { frames: { perSecond: 1, burst: 1 }, bytes: { perSecond: 1, burst: 1 } };
const shareOf = (user: string): UserShare => new UserShare(user as UserId, new FrameBuckets(RATES));

class Socket implements Holder {
  heldBytes = 0;
  isReleased = false;
  constructor(readonly share: UserShare | undefined) {}
  release(): void {
    this.isReleased = true;
  }
}

describe("memory:", () => {
  test("of a user with too much waiting the socket that holds most goes", () => {
    const waiting = new WaitingBytes({ perUserBytes: 100, perNodeBytes: 1000 });
    const ann = shareOf("ann");
    const sockets = [new Socket(ann), new Socket(ann), new Socket(ann)];
    waiting.set(sockets[0]!, 30);
    waiting.set(sockets[1]!, 60);
    waiting.set(sockets[2]!, 20);
    expect(sockets.map(({ isReleased }) => isReleased)).toEqual([false, true, false]);
    expect([waiting.total, ann.waitingBytes]).toEqual([50, 50]);
  });

  test("over all sockets the user who holds most gives way", () => {
    const waiting = new WaitingBytes({ perUserBytes: 1000, perNodeBytes: 100 });
    const [ann, ben] = [shareOf("ann"), shareOf("ben")];
    const many = Array.from({ length: 7 }, () => new Socket(ann));
    for (const socket of many) waiting.set(socket, 10);
    const one = new Socket(ben);
    waiting.set(one, 31);
    expect(one.isReleased).toBe(false);
    expect(many.filter(({ isReleased }) => isReleased)).toHaveLength(1);
    const stranger = new Socket(undefined);
    waiting.set(stranger, 65);
    expect(stranger.isReleased).toBe(true);
    expect(waiting.total).toBe(91);
  });

  test("what lingers after a close counts until it is gone", () => {
    const waiting = new WaitingBytes({ perUserBytes: 100, perNodeBytes: 1000 });
    const ann = shareOf("ann");
    const [closed, next] = [new Socket(ann), new Socket(ann)];
    waiting.set(closed, 90);
    waiting.set(next, 20);
    expect(closed.isReleased).toBe(true);
    waiting.set(closed, 0);
    expect(ann.waitingBytes).toBe(20);
  });

  test("frames that waited for live and were acted on wait no more", async () => {
    // Each look takes 5 ms, so that every step of a hello has a turn of the event loop for itself, and the frames behind it come before its end.
    let looks = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() + 5 * ++looks };
    const node = await startTestNode({ socketMemoryMb: 1, sendBurst: 1_000_000 }, { clock });
    const devices: Device[] = [];
    try {
      const users = await node.api.users("ann", "ben", "cem", "dan");
      for (const who of users) for (let n = 0; n < 12; n++) await node.api.group(who, `${who.user}-${n}`, []);
      await node.restart();
      for (const who of users) {
        const device = await Device.open(node.url);
        devices.push(device);
        device.send({ t: "hello", token: who.token });
        const refs = Array.from({ length: 40 }, () => device.post(`@${who.user}`, "x".repeat(16_000)));
        for (const ref of refs) await device.answerTo(ref);
      }
      for (const device of devices) expect((await device.untaken()).map(({ t }) => t)).not.toContain("bye");
    } finally {
      for (const device of devices) device.terminate();
      await node.stop();
    }
  });

  test("a catch-up that nobody reads ends", async () => {
    const { promise: stalled, resolve } = Promise.withResolvers<void>();
    // Of what waits so long there is nothing else in these seconds.
    const after: Clock["after"] = (ms, run) =>
      ms === CATCH_UP_STALLED_MS ? systemClock.after(50, () => resolve(run())) : systemClock.after(ms, run);
    const node = await startTestNode(
      { outboxKb: 64, sendRate: 100_000, sendBurst: 100_000 },
      { clock: { ...systemClock, after } },
    );
    try {
      const [ann] = await node.api.users("ann");
      const device = await node.connect(ann!);
      for (let n = 0; n < 900; n++) device.post("@ann", "x".repeat(16_000));
      await device.takeMany("sent", 900);
      const reader = await SlowReader.connect(node.port, ann!, FROM_THE_BEGINNING);
      reader.pause();
      await within("the catch-up to stall", stalled);
      await reader.end();
      expect(reader.bye?.code).toBe(4001);
      expect(reader.frames.filter(({ t }) => t === "message").length).toBeLessThan(900);
    } finally {
      await node.stop();
    }
  });
});
