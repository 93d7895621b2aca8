import { afterEach, expect, test } from "bun:test";
import { nextTurn } from "../../src/base/steps.ts";
import { shardOf, userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import type { Post, PostReply } from "../../src/home/messages/post.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import { RestartedShards, type Answer } from "./restarted-shards.ts";

const ANN = "ann" as UserId;
const CLUB = "#club" as GroupAddress;

/** What becomes of one post on its way; undefined: it comes as it is. */
type Fate = "lost" | "reply lost" | undefined;

const open: RestartedShards[] = [];
afterEach(async () => {
  for (const shards of open.splice(0)) await shards.close();
});

/** @param fateOf of the n-th post that is sent, from 1 */
async function shardsWith(fateOf: (n: number, post: Post) => Fate) {
  let sent = 0;
  const rounds: number[] = [];
  const around = (local: ShardRouter): ShardRouter => ({
    mayReach: (...all) => local.mayReach(...all),
    handOffAlong: (...all) => local.handOffAlong(...all),
    handOff: (...all) => local.handOff(...all),
    ask: (...all) => local.ask(...all),
    cast: (...all) => local.cast(...all),
    post(to, group, post, reply) {
      const copy = { ...fieldsOf(post) };
      rounds.push(copy.round);
      const fate = fateOf(++sent, copy);
      if (fate !== "lost") local.post(to, group, copy, fate === "reply lost" ? NOBODY : reply);
      return false;
    },
  });
  const shards = new RestartedShards(1000, {}, around);
  open.push(shards);
  await shards.begin([ANN, "ben" as UserId], CLUB);
  const say = (ref: string): Promise<Answer> => shards.send(ANN, { to: CLUB, text: ref, ref, retry: false });
  return { shards, say, rounds };
}

const NOBODY: PostReply = { posted() {}, missing() {}, refused() {} };

const fieldsOf = ({
  author,
  authorShard,
  ref,
  text,
  mayRepeat,
  knownThrough,
  life,
  no,
  prev,
  round,
  groupLife,
}: Post): Post => ({
  author,
  authorShard,
  ref,
  text,
  mayRepeat,
  knownThrough,
  life,
  no,
  prev,
  round,
  groupLife,
});

/** Time goes on until all of them are answered. */
async function answered(shards: RestartedShards, sends: Promise<Answer>[]): Promise<Answer[]> {
  let all: Answer[] | undefined;
  void Promise.all(sends).then((answers) => void (all = answers));
  for (let turn = 0; all === undefined; turn++) {
    if (turn > 2000) throw new Error("nobody was answered");
    shards.passedMs += 50;
    await nextTurn();
  }
  return all;
}

const textsIn = (shards: RestartedShards, limit = 100): string[] =>
  shards.host
    .shard(shardOf(CLUB))
    .log.readForward(CLUB, 0 as never, limit)
    .filter(({ key }) => key !== "")
    .map(({ key }) => key);

test.each(["lost", "reply lost"] as const)(
  "a post is sent again, and its sender hears of it once (%s)",
  async (fate) => {
    const { shards, say, rounds } = await shardsWith((n) => (n === 1 ? fate : undefined));
    expect(await answered(shards, [say("r-1")])).toMatchObject([{ sent: { ref: "r-1" }, isDuplicate: false }]);
    expect(rounds).toEqual([0, 1]);
    expect(textsIn(shards)).toEqual(["ann/r-1"]);
  },
);

test("posts that overtake a lost one are taken behind it, without waiting", async () => {
  const { shards, say } = await shardsWith((n) => (n === 2 ? "lost" : undefined));
  const before = shards.passedMs;
  const answers = await answered(shards, ["r-1", "r-2", "r-3", "r-4"].map(say));
  expect(answers.every(({ sent, isDuplicate }) => sent !== undefined && isDuplicate === false)).toBe(true);
  expect(textsIn(shards)).toEqual(["ann/r-1", "ann/r-2", "ann/r-3", "ann/r-4"]);
  expect(shards.passedMs - before).toBeLessThan(500);
});

test("a group that does not reply is given up, with all that was sent behind; the same refs tell what became of it", async () => {
  let isAway = true;
  const { shards, say } = await shardsWith((n) => (isAway ? (n % 2 === 0 ? "lost" : "reply lost") : undefined));
  const before = shards.passedMs;
  const answers = await answered(shards, [say("r-1"), say("r-2")]);
  expect(answers).toEqual([{ code: "unavailable" }, { code: "unavailable" }]);
  expect(shards.passedMs - before).toBeLessThan(12_000);
  expect(shards.host.home(ANN).users.peek(ANN)).toMatchObject({ pendingSends: [], bytesOnTheWay: 0 });
  isAway = false;
  // What its device sent before it heard of that must not come before it.
  expect(await answered(shards, [say("r-3")])).toEqual([{ code: "unavailable" }]);
  shards.passedMs += 300;
  const again = ["r-1", "r-2"].map((ref) => shards.send(ANN, { to: CLUB, text: ref, ref, retry: true }));
  expect(await answered(shards, again)).toMatchObject([{ sent: { ref: "r-1" } }, { sent: { ref: "r-2" } }]);
  expect(textsIn(shards)).toEqual(["ann/r-1", "ann/r-2"]);
});

test("a lost post makes no more come again than the group's shard would hold back", async () => {
  const POSTS = 1000;
  const { shards, say, rounds } = await shardsWith((n) => (n % 40 === 1 ? "lost" : undefined));
  const refs = Array.from({ length: POSTS }, (_, at) => `r-${at}`);
  const answers = await answered(shards, refs.map(say));
  expect(answers.filter(({ sent }) => sent === undefined)).toEqual([]);
  expect(textsIn(shards, POSTS + 1)).toEqual(refs.map((ref) => `ann/${ref}`));
  // Each round brings at least 39 of them further.
  expect(rounds.length).toBeLessThan(POSTS + (POSTS / 39) * 128);
});

test("posts are not given up while one after the other still arrives", async () => {
  let arrivedMs = 0;
  const { shards, say } = await shardsWith(() => {
    if (shards.passedMs - arrivedMs < 3000) return "lost";
    arrivedMs = shards.passedMs;
    return undefined;
  });
  const before = (arrivedMs = shards.passedMs);
  const refs = ["r-1", "r-2", "r-3", "r-4", "r-5"];
  const answers = await answered(shards, refs.map(say));
  expect(answers).toMatchObject(refs.map((ref) => ({ sent: { ref } })));
  expect(shards.passedMs - before).toBeGreaterThan(12_000);
  expect(textsIn(shards)).toEqual(refs.map((ref) => `ann/${ref}`));
});

test("who is about to go waits for no reply", async () => {
  const { shards, say } = await shardsWith(() => "lost");
  const send = say("r-1");
  await nextTurn();
  shards.host.stop();
  expect(await send).toEqual({ code: "unavailable" });
});

test("a post that comes late, and again, stands once", async () => {
  const late: (() => void)[] = [];
  const { shards, say } = await shardsWith(() => undefined);
  const { router } = shards.host.home(ANN);
  await answered(shards, [say("r-1"), say("r-2")]);
  const life = shards.host.home(ANN).posts.life;
  const { life: groupLife } = shards.host.shard(shardOf(CLUB)).groups.get(CLUB)!;
  const authorShard = shardOf(userAddress(ANN));
  for (const [no, ref] of [
    [1, "r-1"],
    [2, "r-2"],
    [2, "r-2"],
  ] as const)
    late.push(() =>
      router.post(
        shardOf(CLUB),
        CLUB,
        {
          author: ANN,
          authorShard,
          ref,
          text: ref,
          mayRepeat: false,
          knownThrough: 1 as never,
          life,
          no,
          prev: 0,
          round: 0,
          groupLife,
        },
        NOBODY,
      ),
    );
  for (const come of late) come();
  await shards.host.store.idle();
  expect(textsIn(shards)).toEqual(["ann/r-1", "ann/r-2"]);
});
