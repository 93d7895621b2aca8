/** Answers end by bytes, whatever they count, and so do those that nobody reads. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { ANSWER_BYTES_MAX } from "../../src/domain/limits.ts";
import { AnswersUnderWay } from "../../src/edge/http/answers-under-way.ts";
import type { UserId } from "../../src/domain/address.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

/** As large as a frame takes it: JSON writes each character with six. */
const FAT = "\u0001".repeat(10_000);
const GROUPS = 4;
const MESSAGES = 15;
/** One message may go beyond. */
const BYTES_MAX = ANSWER_BYTES_MAX + 70_000;

let node: TestNode;
let ann: Credentials;

beforeAll(async () => {
  node = await startTestNode({ sendRate: 100_000, sendBurst: 100_000 });
  ann = (await node.api.users("ann", "ben"))[0]!;
  const device = await node.connect(ann);
  for (let group = 0; group < GROUPS; group++) {
    await node.api.group(ann, `fat-${group}`, []);
    for (let n = 0; n < MESSAGES; n++) await device.say(`#fat-${group}`, FAT);
  }
  for (let n = 0; n < 40; n++) await device.say("@ben", `${n} ${FAT}`);
});
afterAll(() => node.stop());

async function get(path: string) {
  const response = await fetch(node.url + path, { headers: { authorization: `Bearer ${ann.token}` } });
  const text = await response.text();
  expect(response.status).toBe(200);
  expect(text.length).toBeLessThan(BYTES_MAX);
  return JSON.parse(text);
}

describe("ends at about 1 MiB, and the way on from there misses and doubles nothing", () => {
  test("a list of conversations", async () => {
    const seen: string[] = [];
    let pages = 0;
    for (let before: string | undefined = ""; before !== undefined; pages++) {
      const page = await get(`/v1/conversations?limit=200&messages=15&before=${encodeURIComponent(before)}`);
      for (const { conversation, messages } of page.conversations) {
        seen.push(conversation);
        expect(messages.length).toBe(MESSAGES);
      }
      before = page.before;
    }
    expect(pages).toBeGreaterThan(GROUPS / 2);
    expect(seen.toSorted()).toEqual(["#fat-0", "#fat-1", "#fat-2", "#fat-3", "@ben"]);
  });

  test("one conversation", async () => {
    const { messages } = await get("/v1/conversations/%40ben?messages=200");
    expect(messages.at(-1).text).toStartWith("39 ");
    expect(messages.length).toBeGreaterThan(10);
  });

  test.each(["before", "after"] as const)("a history, paged by %s", async (direction) => {
    const texts: string[] = [];
    for (let from: number | undefined = direction === "after" ? 0 : 1_000_000; from !== undefined;) {
      const page: { messages: { text: string }[]; before?: number; after?: number } = await get(
        `/v1/conversations/%40ben/messages?limit=200&${direction}=${from}`,
      );
      const numbers = page.messages.map(({ text }) => text.split(" ")[0]!);
      if (direction === "after") texts.push(...numbers);
      else texts.unshift(...numbers);
      from = page[direction];
    }
    expect(texts).toEqual(Array.from({ length: 40 }, (_, n) => String(n)));
  });

  test("entries", async () => {
    const seqs: number[] = [];
    for (let page = { after: 0, more: true, frames: [] as { seq: number }[] }; page.more;) {
      page = await get(`/v1/entries?limit=200&after=${page.after}`);
      seqs.push(...page.frames.map(({ seq }) => seq));
    }
    expect(seqs).toEqual(Array.from({ length: GROUPS + 40 }, (_, n) => n + 1));
  });
});

test("answers of which only the head was asked for hold nothing: more of them than may wait refuse nobody", async () => {
  const path = "/v1/conversations/%40ben/messages?limit=200";
  const headers = { authorization: `Bearer ${ann.token}` };
  for (let n = 0; n < 10; n++) {
    const head = await fetch(node.url + path, { method: "HEAD", headers });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  }
  expect((await get(path)).messages.length).toBeGreaterThan(10);
});

describe("calls under way", () => {
  const user = "ann" as UserId;

  test("of one user are bounded, and those of another are not counted with them", async () => {
    const answers = new AnswersUnderWay({ callsPerUser: 2, bytesPerUser: 100, bytesInAll: 200 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const two = [answers.run(user, () => promise), answers.run(user, () => promise)];
    await expect(answers.run(user, () => "third")).rejects.toMatchObject({ code: "rate_limited" });
    expect(await answers.run("ben" as UserId, () => "other")).toBe("other");
    resolve("done");
    expect(await Promise.all(two)).toEqual(["done", "done"]);
    expect(await answers.run(user, () => "fourth")).toBe("fourth");
  });

  test("hold their bytes until they were read or the client has gone, of one user and of all", async () => {
    const answers = new AnswersUnderWay({ callsPerUser: 9, bytesPerUser: 100_000, bytesInAll: 150_000 });
    const text = "x".repeat(100_000);
    const unread = answers.body(user, text) as ReadableStream<Uint8Array>;
    await expect(answers.run(user, () => "next")).rejects.toMatchObject({ code: "rate_limited" });
    const other = answers.body("ben" as UserId, text) as ReadableStream<Uint8Array>;
    await expect(answers.run("cem" as UserId, () => "next")).rejects.toMatchObject({ code: "unavailable" });
    expect(await new Response(unread).text()).toBe(text);
    await other.cancel();
    expect(answers.bytes).toBe(0);
    expect(await answers.run(user, () => "next")).toBe("next");
  });
});
