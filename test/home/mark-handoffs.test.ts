/** Marks between shards: whatever happens on the way, the other side hears the truth, and no crash leaves the own mark without the other side's (G6). */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { readTimelineEntry } from "../../src/domain/entries.ts";
import { nextTurn } from "../../src/base/steps.ts";
import { CellReader, SHARD_STREAM } from "../../src/home/state/cells.ts";
import type { HandoffOutcome } from "../../src/home/messages/handoff.ts";
import { takeHandoff } from "../../src/home/handoffs/take-handoff.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { until } from "../support/wait.ts";
import { FaultyMarks, MARK_FAULTS, type MarkFault } from "./faulty-marks.ts";
import { RestartedShards } from "./restarted-shards.ts";

const [ann, ben] = ["ann", "ben"] as UserId[] as [UserId, UserId];
const [ANN, BEN] = [userAddress(ann), userAddress(ben)];
const CLUB = "#club" as GroupAddress;

let shards: RestartedShards;
let faulty: FaultyMarks;
let refs = 0;

beforeEach(async () => {
  shards = new RestartedShards();
  faulty = new FaultyMarks();
  await shards.begin([ann, ben], CLUB);
  faulty.between(shards.host.home(ben));
});
afterEach(() => shards.close());

const state = (user: UserId): UserState => shards.host.users.get(user)!;
const marks = () => shards.host.home(ben).marks;
const settled = () => shards.host.store.idle();
const always = (fault: MarkFault) => (): MarkFault => fault;

const say = (from: UserId, to: typeof ANN | GroupAddress): Promise<unknown> =>
  shards.send(from, { to, text: "hello", ref: `r-${++refs}`, retry: false });

async function crash(share: number): Promise<void> {
  await shards.crash(() => share);
  faulty.between(shards.host.home(ben));
}

/** So many seconds pass, with what is done each second. */
async function wait(seconds: number): Promise<void> {
  for (let n = 0; n < seconds; n++) {
    shards.passedMs += 1000;
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    await settled();
  }
}

/** What ben's shard has noted as not told. */
function untold(conversation: string): { delivered: number; read: number } {
  const cell = shards.host.log(BEN).cell(SHARD_STREAM, `untold/${BEN}/${conversation}`);
  const fields = new CellReader(cell);
  return { delivered: fields.number(), read: fields.number() };
}

/** In ann's numbering: the newest of her messages in ben's timeline up to `seq`. */
function newestFromAnn(seq: Seq): number {
  let newest = 0;
  for (const stored of state(ben).log.readForward(BEN, 0 as Seq, seq)) {
    const entry = readTimelineEntry(stored);
    if (stored.lane === ANN && entry.kind === "taken") newest = entry.fromSeq;
  }
  return newest;
}

const told = () => {
  const { delivered, seen } = state(ann).conversation(BEN);
  return { delivered: delivered as number, read: seen as number };
};
const toldClub = (): number => shards.host.groups.get(CLUB)!.marksOf(ben).seen;
const ownRead = (conversation: typeof ANN | GroupAddress): Seq => state(ben).conversation(conversation).ownRead;

/** Whatever ben's own marks say is known to the other sides, or noted to be told. */
function expectNothingForgotten(): void {
  const noted = untold(ANN);
  const { delivered, read } = told();
  expect(Math.max(delivered, noted.delivered)).toBeGreaterThanOrEqual(newestFromAnn(state(ben).received));
  expect(Math.max(read, noted.read)).toBeGreaterThanOrEqual(newestFromAnn(ownRead(ANN)));
  expect(Math.max(toldClub(), untold(CLUB).read)).toBeGreaterThanOrEqual(ownRead(CLUB));
}

test("marks that are lost, repeated, late and overtaken, over crashes at any moment, tell the truth and all of it", async () => {
  const random = randomFrom(SEED);
  let [saidReceived, saidRead] = [0, 0];
  faulty.fault = () => MARK_FAULTS[Math.floor(random() * MARK_FAULTS.length)]!;
  const steps = [
    () => say(ann, BEN),
    () => say(ann, CLUB),
    () => {
      const { headSeq, received } = state(ben);
      const seq = Math.max(received, Math.ceil(random() * headSeq)) as Seq;
      saidReceived = Math.max(saidReceived, seq);
      marks().received(state(ben), seq);
    },
    () => {
      if (!state(ben).conversations.has(ANN)) return;
      const seq = Math.ceil(random() * state(ben).headSeq) as Seq;
      saidRead = Math.max(saidRead, seq);
      marks().read(state(ben), ANN, seq);
    },
    () => marks().read(state(ben), CLUB, Math.ceil(random() * shards.host.groups.get(CLUB)!.headSeq) as Seq),
    () => faulty.comeLate(random),
    () => wait(1),
    () => nextTurn(),
  ];
  for (let n = 0; n < 600; n++) {
    await steps[Math.floor(random() * steps.length)]!();
    shards.host.groups.get(CLUB);
    if (random() < 0.05) await crash(random());
    expectNothingForgotten();
    expect(told().delivered).toBeLessThanOrEqual(newestFromAnn(saidReceived as Seq));
    expect(told().read).toBeLessThanOrEqual(newestFromAnn(saidRead as Seq));
  }
  faulty.fault = always("none");
  await crash(random());
  marks().received(state(ben), state(ben).headSeq);
  marks().read(state(ben), ANN, state(ben).headSeq);
  marks().read(state(ben), CLUB, shards.host.groups.get(CLUB)!.headSeq);
  await wait(40);
  const newest = newestFromAnn(state(ben).headSeq);
  expect(told()).toEqual({ delivered: newest, read: newest });
  expect(toldClub()).toBe(shards.host.groups.get(CLUB)!.headSeq);
  expect(state(ben)).toMatchObject({ received: state(ben).headSeq, pendingMarks: 0 });
  expect([untold(ANN), untold(CLUB)]).toEqual([
    { delivered: 0, read: 0 },
    { delivered: 0, read: 0 },
  ]);
}, 60_000);

test("while the other side's home is away the own marks are durable within seconds, and it hears of them later, over a crash", async () => {
  await say(ann, BEN);
  faulty.fault = always("away");
  const { headSeq } = state(ben);
  marks().received(state(ben), headSeq);
  marks().read(state(ben), ANN, headSeq);
  await settled();
  expect([state(ben).received, ownRead(ANN)] as number[]).toEqual([0, 0]);
  await wait(4);
  expect([state(ben).received, ownRead(ANN)]).toEqual([headSeq, headSeq]);
  expect([told(), untold(ANN)]).toEqual([
    { delivered: 0, read: 0 },
    { delivered: 2, read: 2 },
  ]);
  await crash(0);
  expect(told()).toEqual({ delivered: 2, read: 2 });
  await wait(1);
  expect(untold(ANN)).toEqual({ delivered: 0, read: 0 });
});

test("what is noted is offered by itself when the other side's home is back, and cleared", async () => {
  await say(ann, CLUB);
  faulty.fault = always("away");
  marks().read(state(ben), CLUB, 2 as Seq);
  await wait(4);
  expect([ownRead(CLUB) as number, untold(CLUB).read, toldClub()]).toEqual([2, 2, 0]);
  faulty.fault = always("none");
  await wait(31);
  expect([untold(CLUB).read, toldClub()]).toEqual([0, 2]);
});

test("the own marks follow when the other side's are confirmed, and not before", async () => {
  await say(ann, BEN);
  faulty.fault = always("confirmed late");
  marks().received(state(ben), 2 as Seq);
  marks().read(state(ben), ANN, 2 as Seq);
  await until("it was told", () => told().read === 2);
  shards.host.markTurns.hurry();
  await settled();
  expect([state(ben).received, ownRead(ANN)] as number[]).toEqual([0, 0]);
  while (state(ben).pendingMarks > 0) {
    faulty.comeLate(() => 0);
    await settled();
  }
  expect([state(ben).received, ownRead(ANN)] as number[]).toEqual([2, 2]);
  expect(untold(ANN)).toEqual({ delivered: 0, read: 0 });
});

test("in one log `read` follows in the same write, and nothing is noted of what is on its way to disk", async () => {
  await say(ann, BEN);
  faulty.fault = always("appended alone");
  marks().received(state(ben), 2 as Seq);
  marks().read(state(ben), ANN, 2 as Seq);
  await settled();
  expect([told().read, ownRead(ANN) as number, state(ben).received as number]).toEqual([2, 2, 0]);
  await wait(5);
  expect([state(ben).received as number, untold(ANN)]).toEqual([0, { delivered: 0, read: 0 }]);
  faulty.fault = always("none");
  await wait(2);
  expect([state(ben).received as number, untold(ANN)]).toEqual([2, { delivered: 0, read: 0 }]);
  await crash(0);
  expect([told().read, ownRead(ANN) as number, state(ben).received as number]).toEqual([2, 2, 2]);
});

test("of what is confirmed in parts the own mark says as much, and an old confirmation changes nothing", async () => {
  for (let n = 0; n < 3; n++) await say(ann, BEN);
  const received = async (seq: number): Promise<number> => {
    marks().received(state(ben), seq as Seq);
    shards.host.markTurns.hurry();
    await settled();
    return state(ben).received;
  };
  expect(await received(2)).toBe(2);
  faulty.fault = always("lost");
  expect([await received(3), await received(4)]).toEqual([2, 2]);
  const confirmed = async (seq: number): Promise<number> => {
    faulty.outcome!.confirmed(seq as Seq);
    await settled();
    return state(ben).received;
  };
  expect([await confirmed(2), await confirmed(3), await confirmed(2), await confirmed(4)]).toEqual([2, 3, 3, 4]);
});

test("a crash between the other side's mark and the own one: the device says it again, and nothing goes back", async () => {
  await say(ann, BEN);
  faulty.fault = always("unconfirmed");
  marks().received(state(ben), 2 as Seq);
  await until("it was told", () => told().delivered === 2);
  await crash(0);
  expect([told().delivered, state(ben).received as number]).toEqual([2, 0]);
  faulty.fault = always("none");
  marks().received(state(ben), 2 as Seq);
  shards.host.markTurns.hurry();
  await settled();
  expect([told().delivered, state(ben).received as number, state(ann).markCount]).toEqual([2, 2, 1]);
});

test("a seq beyond what there is is not believed, and a mark of a stranger or of a former life is none", async () => {
  await say(ann, BEN);
  const confirmed: number[][] = [];
  const outcome: HandoffOutcome = {
    confirmed: (...through) => void confirmed.push(through as number[]),
    missing() {},
    notTaken: (error) => expect(error).toBeUndefined(),
  };
  const far = 1_000_000 as Seq;
  const home = shards.host.home(ann);
  takeHandoff(home, { kind: "peerMark", from: BEN, to: ANN, delivered: far, read: 0 as Seq }, outcome);
  const cat = userAddress("cat" as UserId);
  takeHandoff(home, { kind: "peerMark", from: cat, to: ANN, delivered: far, read: far }, outcome);
  await settled();
  expect(told()).toEqual({ delivered: state(ann).headSeq, read: 0 });
  const owner = shards.host.shard(shards.host.groups.get(CLUB)!.log.shard);
  const mark = { kind: "memberMark", user: ben, group: CLUB, delivered: far, read: far } as const;
  takeHandoff(owner, { ...mark, epoch: "another life" }, outcome);
  takeHandoff(owner, { ...mark, epoch: "e-club", user: "cat" as UserId }, outcome);
  await settled();
  expect(toldClub()).toBe(0);
  takeHandoff(owner, { ...mark, epoch: "e-club" }, outcome);
  await settled();
  expect(toldClub()).toBe(shards.host.groups.get(CLUB)!.headSeq);
  expect(confirmed).toHaveLength(5);
  for (const [through] of confirmed) expect(through).toBe(far);
});

test("a message, its `received` and its `read` are four records beside the message's two, whoever confirms", async () => {
  const records = (): number => shards.host.log(ANN).durableThrough + (shards.host.log(BEN).durableThrough as number);
  await say(ann, BEN);
  const before = records();
  marks().received(state(ben), 2 as Seq);
  shards.host.markTurns.hurry();
  await settled();
  expect(records() - before).toBe(2);
  marks().read(state(ben), ANN, 2 as Seq);
  await settled();
  expect(records() - before).toBe(4);
  await wait(5);
  expect(records() - before).toBe(4);
});
