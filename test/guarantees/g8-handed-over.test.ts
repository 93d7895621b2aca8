import { expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { Device } from "../support/device.ts";
import { comes, hasFaults } from "../support/settled-faults.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";

/** Over a faulty router each start costs time, and they are one of many runs. */
const ROUNDS = hasFaults() ? 4 : 10;
const GROUP_ROUNDS = hasFaults() ? 3 : 5;
const random = randomFrom(SEED);

type Wish = { to: string; text: string; ref: string };

/** Sends everything on the list that has no answer yet, all at once; what had been tried before is marked. */
async function push(device: Device, wishes: Wish[], done: Map<string, string>, tried: Set<string>): Promise<void> {
  const open = wishes.filter(({ ref }) => !done.has(ref));
  const sends = open.map(async ({ to, text, ref }) => {
    const isRetry = tried.has(ref);
    tried.add(ref);
    const sent = await device.say(to, text, ref, isRetry);
    done.set(ref, sent.id);
  });
  await Promise.allSettled(sends);
}

test(`every message reaches its receiver exactly once over ${ROUNDS} kills, whether or not its sender heard so`, async () => {
  const server = await TestProcess.start("--send-burst", "100000", "--memtable-mb", "1");
  try {
    const names = ["ann", "ben", "cat"];
    const people = await server.api.users(...names);
    const wishes = new Map(names.map((name) => [name, [] as Wish[]]));
    const done = new Map(names.map((name) => [name, new Map<string, string>()]));
    const tried = new Map(names.map((name) => [name, new Set<string>()]));
    const acked = () => [...done.values()].reduce((sum, { size }) => sum + size, 0);
    for (let round = 0; round < ROUNDS; round++) {
      for (const name of names) {
        const others = names.filter((other) => other !== name);
        for (let n = 0; n < 60; n++) {
          const to = `@${others[n % 2]!}`;
          wishes
            .get(name)!
            .push({ to, text: `${name} to ${to}, ${round}.${n} ${"x".repeat(n * 20)}`, ref: `${round}-${n}` });
        }
      }
      const devices = await Promise.all(people.map((who) => server.connect(who)));
      const before = acked();
      const pushing = devices.map((device, at) =>
        push(device, wishes.get(names[at]!)!, done.get(names[at]!)!, tried.get(names[at]!)!),
      );
      const wanted = Math.floor(random() * 150);
      await until("some were acked", () => acked() - before >= wanted);
      await (round % 4 === 3 ? server.stop() : server.kill());
      await Promise.all(pushing);
      await server.start();
    }
    for (const [at, who] of people.entries()) {
      const name = names[at]!;
      await push(await server.connect(who), wishes.get(name)!, done.get(name)!, tried.get(name)!);
      expect(done.get(name)!.size).toBe(wishes.get(name)!.length);
    }
    for (const [at, who] of people.entries()) {
      for (const [otherAt, other] of people.entries()) {
        if (at === otherAt) continue;
        const sent = (await server.api.history(who, `@${other.user}`)).filter(({ from }) => from === who.user);
        const gotNow = async () =>
          (await server.api.history(other, `@${who.user}`)).filter(({ from }) => from === who.user);
        await comes("all was handed over", async () => (await gotNow()).length >= sent.length);
        const got = await gotNow();
        const expected = wishes.get(who.user)!.filter(({ to }) => to === `@${other.user}`);
        expect(sent.map(({ text }) => text).toSorted()).toEqual(expected.map(({ text }) => text).toSorted());
        for (const { ref, id } of sent) expect(id).toBe(done.get(who.user)!.get(ref!)!);
        // The same messages, once each, and in the order of the sender's timeline.
        expect(got.map(({ id, text }) => ({ id, text }))).toEqual(sent.map(({ id, text }) => ({ id, text })));
      }
    }
    for (const who of people) {
      const { body } = await server.api.get("/v1/entries?limit=200", who.token);
      expect(body.frames.map(({ seq }: { seq: number }) => seq)).toEqual(
        Array.from({ length: 200 }, (_, index) => index + 1),
      );
    }
  } finally {
    await server.remove();
  }
});

test("who is put into a group has it in the timeline exactly when the group has them, over kills", async () => {
  const server = await TestProcess.start();
  try {
    const [ann, ben] = (await server.api.users("ann", "ben")) as [Credentials, Credentials];
    const answered = new Set<string>();
    for (let round = 0; round < GROUP_ROUNDS; round++) {
      const creating = Array.from({ length: 12 }, async (_, n) => {
        const id = `g-${round}-${n}`;
        await server.api.group(ann, id, ["ben"]);
        answered.add(id);
        if (n % 3 === 0) await server.api.call("DELETE", `/v1/groups/${id}/members/ben`, ben.token);
      });
      const settled = Promise.allSettled(creating);
      const before = answered.size;
      const wanted = Math.floor(random() * 10);
      await until("some are there", () => answered.size - before >= wanted);
      await server.kill();
      await settled;
      await server.start();
    }
    const isIn = new Map<string, boolean>();
    const readTimeline = async () => {
      const { body: page } = await server.api.get("/v1/entries?limit=200", ben.token);
      for (const { conversation, change } of page.frames) isIn.set(conversation.slice(1), change === "joined");
    };
    const isTrue = async ([id, joined]: [string, boolean]): Promise<boolean> => {
      const { status, body } = await server.api.get(`/v1/groups/${id}`, ann.token);
      if (status !== 200) return false;
      return joined === body.members.some(({ user }: { user: string }) => user === "ben");
    };
    await readTimeline();
    await comes("ben's timeline has every change", async () => {
      await readTimeline();
      if ([...answered].some((id) => !isIn.has(id))) return false;
      for (const change of isIn) if (!(await isTrue(change))) return false;
      return true;
    });
    for (const id of answered) expect(isIn.has(id)).toBe(true);
    for (const [id, joined] of isIn) {
      const { status, body } = await server.api.get(`/v1/groups/${id}`, ann.token);
      expect(status).toBe(200);
      expect(body.members.some(({ user }: { user: string }) => user === "ben")).toBe(joined);
      expect((await server.api.get(`/v1/groups/${id}`, ben.token)).status).toBe(joined ? 200 : 403);
    }
  } finally {
    await server.remove();
  }
});
