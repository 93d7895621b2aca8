/** What becomes of each cast, one by one. */
import { expect, test } from "bun:test";
import { createLogger } from "../../../src/base/logger.ts";
import { nextTurn, StepTurns } from "../../../src/base/steps.ts";
import type { GroupAddress, UserId } from "../../../src/domain/address.ts";
import { AppError } from "../../../src/base/errors.ts";
import type { Answers, Questions } from "../../../src/home/messages/ask.ts";
import { Connected } from "../../../src/home/connected.ts";
import type { EntryCast } from "../../../src/home/messages/cast.ts";
import type { ShardRouter } from "../../../src/home/messages/shard-router.ts";
import { FollowedMirrors } from "../../../src/home/mirrors/followed-mirrors.ts";
import type { Session } from "../../../src/home/session.ts";
import { Conversations } from "../../../src/home/state/conversations.ts";
import { NO_SESSIONS, UserState } from "../../../src/home/state/user-state.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { HandClock } from "../hand-clock.ts";

const CLUB = "#club" as GroupAddress;
const SHARD = 0 as ShardId;
const COMPARE_MS = 5000;
const SENT_WAIT_MS = 1000;

/** A group's shard that answers, and a home with people in it. */
class World {
  readonly clock = new HandClock();
  readonly connected = new Connected();
  readonly members = new Set<string>(["ann", "ben"]);
  epoch = "e1";
  bornSeq = 1;
  headSeq = 1;
  readonly asked: string[] = [];
  #held: Promise<void> | undefined;
  readonly mirrors: FollowedMirrors;

  constructor() {
    const router = { ask: (kind: string, _to: string, question: unknown) => this.#answer(kind, question) };
    this.mirrors = new FollowedMirrors({
      connected: this.connected,
      router: () => router as unknown as ShardRouter,
      clock: this.clock,
      turns: new StepTurns(this.clock),
      logger: createLogger(
        "error",
        (line) => expect.unreachable(line),
        () => 0,
      ),
    });
  }

  /** Asks wait until `answer` is called. */
  holdAnswers(): { answer: () => void } {
    const held = Promise.withResolvers<void>();
    this.#held = held.promise;
    return {
      answer: () => {
        this.#held = undefined;
        held.resolve();
      },
    };
  }

  #answer(kind: string, question: unknown): unknown {
    this.asked.push(kind);
    return this.#held === undefined ? this.#told(kind, question) : this.#held.then(() => this.#told(kind, question));
  }

  #told(kind: string, question: unknown): unknown {
    if (kind === "groupStanding") return this.#standing();
    const { viewer, after, limit } = question as Questions["groupEntries"];
    if (!this.members.has(viewer.user)) throw new AppError("not_a_member", "you are not in it");
    return this.#entries(after, limit);
  }

  #standing(): Answers["groupStanding"] {
    const { epoch, bornSeq, headSeq } = this;
    return { epoch, bornSeq: bornSeq as Seq, headSeq: headSeq as Seq, whole: { lastRank: headSeq, memberCount: 2 } };
  }

  #entries(after: number, limit: number): Answers["groupEntries"] {
    const from = Math.max(after, this.bornSeq - 1) as Seq;
    const through = Math.min(this.headSeq, from + limit) as Seq;
    const frames = Array.from({ length: through - from }, (_, at) => frame(from + 1 + at));
    return { epoch: this.epoch, frames, from, through, headSeq: this.headSeq as Seq };
  }

  /** Connected, and told by themselves from where the group stands. */
  async person(name: string, joinedSeq = 1): Promise<Person> {
    const person = new Person(name);
    person.joined(joinedSeq);
    await new StepTurns(this.clock).run(this.mirrors.readHeads(person.state));
    this.connected.attach(person.state, person);
    await turns();
    return person;
  }

  /** Is durable in the group's log. */
  post(author: string, ref = "r-1"): EntryCast {
    const seq = ++this.headSeq as Seq;
    const own = { author: author as UserId, authorShard: SHARD, ref };
    return { kind: "entry", group: CLUB, seq, rank: seq, frame: frame(seq), users: [], own };
  }

  change(fields: object): EntryCast {
    const seq = ++this.headSeq as Seq;
    const told = JSON.stringify({ t: "group", conversation: CLUB, seq, by: "ann", at: 0, ...fields });
    return { kind: "entry", group: CLUB, seq, frame: told, users: [] };
  }
}

/** Somebody with a device. */
class Person implements Session {
  readonly user: UserId;
  readonly device = "d" as Session["device"];
  readonly told: (number | string)[] = [];
  readonly state: UserState;
  /** What it has sent, and has no answer to. */
  pending: string | undefined;

  constructor(name: string) {
    this.user = name as UserId;
    this.state = Object.create(UserState.prototype, {
      user: { value: this.user },
      sessions: { value: NO_SESSIONS, writable: true },
      conversations: { value: new Conversations() },
      pendingSend: { value: (ref: string) => (ref === this.pending ? { reply: { session: this } } : undefined) },
    }) as UserState;
  }

  joined(seq: number): void {
    Object.assign(this.state.conversation(CLUB), { joinedSeq: seq, takenThrough: seq });
  }

  entry(_place: string, seq: number, told: string): void {
    this.told.push(told.includes('"ref"') ? `own ${seq}` : seq);
  }

  notice(): void {}

  close(): void {
    expect.unreachable();
  }
}

const frame = (seq: number): string => `{"t":"message","seq":${seq}}`;

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

test("entries are told in their order, once, whatever order their casts come in", async () => {
  const world = new World();
  const ann = await world.person("ann");
  const [second, third, fourth, fifth] = [1, 2, 3, 4].map(() => world.post("ben"));
  for (const cast of [second!, second!, fourth!, third!, fifth!, second!]) {
    world.mirrors.entry(cast);
    await turns();
  }
  expect(ann.told).toEqual([2, 3, 4, 5]);
});

test("an entry that no cast brings is found at the next look", async () => {
  const world = new World();
  const ann = await world.person("ann");
  world.post("ben");
  world.post("ben");
  await turns();
  expect(ann.told).toEqual([]);
  world.clock.advance(COMPARE_MS);
  await turns();
  expect(ann.told).toEqual([2, 3]);
});

test("what comes while a hole is read is told behind it, and not read", async () => {
  const world = new World();
  const ann = await world.person("ann");
  world.asked.length = 0;
  const [, third, fourth, fifth] = [1, 2, 3, 4].map(() => world.post("ben"));
  const { answer } = world.holdAnswers();
  world.mirrors.entry(third!);
  await turns();
  world.mirrors.entry(fourth!);
  world.mirrors.entry(fifth!);
  expect(ann.told).toEqual([]);
  answer();
  await turns();
  expect([ann.told, world.asked]).toEqual([[2, 3, 4, 5], ["groupEntries"]]);
});

test("nobody asks where casts come as they should", async () => {
  const world = new World();
  const ann = await world.person("ann");
  world.asked.length = 0;
  for (let seq = 2; seq < 10; seq++) world.mirrors.entry(world.post("ben"));
  await turns();
  expect([ann.told, world.asked]).toEqual([[2, 3, 4, 5, 6, 7, 8, 9], []]);
});

test("who has left sees that, and nothing behind it, although their timeline has not heard of it", async () => {
  const world = new World();
  const [ann, ben] = [await world.person("ann"), await world.person("ben")];
  world.members.delete("ben");
  world.mirrors.entry(world.change({ change: "left", user: "ben" }));
  world.mirrors.entry(world.post("ann", "r-2"));
  await turns();
  expect([ann.told, ben.told]).toEqual([[2, "own 3"], [2]]);
});

test("who has left and is connected anew before their timeline hears of it is told nothing", async () => {
  const world = new World();
  await world.person("ann");
  world.members.delete("ben");
  world.mirrors.entry(world.change({ change: "left", user: "ben" }));
  const ben = await world.person("ben");
  world.mirrors.entry(world.post("ann", "r-2"));
  await turns();
  expect(ben.told).toEqual([]);
});

test("`sent` takes the place of a post at the device that sent it, and what stands behind it comes behind it", async () => {
  const world = new World();
  const [ann, ben] = [await world.person("ann"), await world.person("ben")];
  ann.pending = "r-1";
  const own = world.post("ann");
  world.mirrors.entry(own);
  world.mirrors.entry(world.post("ben", "r-2"));
  expect([ann.told, ben.told]).toEqual([[], [2, "own 3"]]);
  world.mirrors.settled(ann.state, CLUB, { seq: own.seq, tell: () => void ann.told.push("sent") });
  expect(ann.told).toEqual(["sent", 3]);
});

test("`sent` that comes before the cast waits for its place", async () => {
  const world = new World();
  const ann = await world.person("ann");
  const before = world.post("ben", "r-2");
  ann.pending = "r-1";
  const own = world.post("ann");
  world.mirrors.settled(ann.state, CLUB, { seq: own.seq, tell: () => void ann.told.push("sent") });
  expect(ann.told).toEqual([]);
  world.mirrors.entry(before);
  world.mirrors.entry(own);
  expect(ann.told).toEqual([2, "sent"]);
});

test("where `sent` does not come the device that sent the post sees it as any other, and `sent` comes when it does", async () => {
  const world = new World();
  const ann = await world.person("ann");
  ann.pending = "r-1";
  const own = world.post("ann");
  world.mirrors.entry(own);
  world.mirrors.entry(world.post("ben", "r-2"));
  world.clock.advance(SENT_WAIT_MS);
  await turns();
  expect(ann.told).toEqual([2, 3]);
  world.mirrors.settled(ann.state, CLUB, { seq: own.seq, tell: () => void ann.told.push("sent") });
  expect(ann.told).toEqual([2, 3, "sent"]);
});

test("who leaves while `sent` is awaited is told up to that, and nothing behind it", async () => {
  const world = new World();
  const ann = await world.person("ann");
  ann.pending = "r-1";
  const own = world.post("ann");
  world.mirrors.entry(own);
  world.members.delete("ann");
  world.mirrors.entry(world.change({ change: "left", user: "ann" }));
  world.mirrors.entry(world.post("ben", "r-2"));
  world.mirrors.settled(ann.state, CLUB, { seq: own.seq, tell: () => void ann.told.push("sent") });
  world.mirrors.entry(world.post("ben", "r-3"));
  await turns();
  expect(ann.told).toEqual(["sent", 3]);
});

test("who joins is told everything from there on, also what was said before their timeline heard of it", async () => {
  const world = new World();
  await world.person("ann");
  const cat = await world.person("cat", 0);
  world.members.add("cat");
  world.mirrors.entry(world.change({ change: "joined", user: "cat" }));
  world.mirrors.entry(world.post("ann", "r-2"));
  await turns();
  expect(cat.told).toEqual([]);
  cat.joined(2);
  world.mirrors.membershipChanged(cat.state, CLUB);
  world.mirrors.entry(world.post("ann", "r-3"));
  await turns();
  expect(cat.told).toEqual([2, 3, 4]);
});

test("of another life of a group those of the former one are told nothing", async () => {
  const world = new World();
  const [ann, ben] = [await world.person("ann"), await world.person("ben")];
  world.mirrors.entry(world.change({ change: "dissolved" }));
  world.members.delete("ben");
  Object.assign(world, { epoch: "e2", bornSeq: 3 });
  world.mirrors.entry(world.change({ change: "created", epoch: "e2", name: "Club", members: ["ann"] }));
  ann.joined(3);
  world.mirrors.membershipChanged(ann.state, CLUB);
  world.mirrors.entry(world.post("ann", "r-2"));
  await turns();
  expect([ann.told, ben.told]).toEqual([[2, 3, "own 4"], [2]]);
  expect(world.mirrors.head(CLUB, SHARD, ann.user)).toMatchObject({ epoch: "e2", bornSeq: 3, headSeq: 4 });
});
