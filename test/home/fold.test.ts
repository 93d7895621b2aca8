/**
 * One fold: state that lived through a history is the state that is loaded from what the history left, whatever happened
 * in it: direct messages, groups and their lives, marks, erasures, retention, memberships, counts, flushes and crashes.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { atOnce, nextTurn } from "../../src/base/steps.ts";
import { userAddress, type GroupAddress } from "../../src/domain/address.ts";
import { ConversationState } from "../../src/home/state/conversation-state.ts";
import { GroupState } from "../../src/home/state/group-state.ts";
import { UserState } from "../../src/home/state/user-state.ts";
import { Numbered, step as talkStep } from "./numbered.ts";
import { CREW, GROUPS, PEOPLE } from "./talk.ts";
import { seeded } from "../support/seed.ts";
import { LEFT_OUT, PRIVATE, snapshot } from "./state-snapshot.ts";

const STREAMS = [...PEOPLE, ...GROUPS];
type Stream = (typeof STREAMS)[number];

const step = fc.oneof(
  { weight: 12, arbitrary: talkStep },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("rename" as const, "keep for" as const),
      group: fc.constantFrom(...GROUPS),
      days: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("count" as const), who: fc.constantFrom(...PEOPLE) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class Lived {
  readonly #numbered = new Numbered();
  readonly #looksPerTurn: number;
  #looks = 0;

  constructor(looksPerTurn = 1) {
    this.#looksPerTurn = looksPerTurn;
  }

  begin(): Promise<void> {
    return this.#numbered.begin();
  }

  async take(one: Step): Promise<void> {
    const isStart = one.kind === "restart" || one.kind === "crash";
    const before = isStart ? this.all() : undefined;
    let isDone = false;
    const done = this.#take(one).finally(() => (isDone = true));
    // While something of it is on its way, what is durable is what a load finds, in each turn.
    while (!isStart && !isDone) {
      for (let n = 0; n < this.#looksPerTurn; n++) this.#expectOne(STREAMS[this.#looks++ % STREAMS.length]!, false);
      await nextTurn();
    }
    await done;
    await this.#host.storedCounts.idle();
    await this.#host.store.idle();
    if (before !== undefined) for (const stream of STREAMS) expectSame(before.get(stream), this.#state(stream), true);
    else for (const stream of STREAMS) this.#expectOne(stream, true);
  }

  async end(): Promise<void> {
    for (const kind of ["crash", "restart"] as const) await this.take({ kind });
    await this.#numbered.talk.shards.close();
  }

  get #host() {
    return this.#numbered.talk.host;
  }

  async #take(one: Step): Promise<void> {
    const { talk } = this.#numbered;
    switch (one.kind) {
      case "rename":
        if (this.#isAlive(one.group)) await talk.change(one.group, { change: "renamed", name: `day ${one.days}` });
        return this.#numbered.facts.learn(this.#host);
      case "keep for":
        if (this.#isAlive(one.group)) await talk.change(one.group, { change: "retention", keepDays: one.days });
        return this.#numbered.facts.learn(this.#host);
      case "count":
        return this.#host.storedCounts.begin(this.#host.home(one.who), this.#host.users.get(one.who)!);
      default:
        return this.#numbered.take(one);
    }
  }

  #isAlive(group: GroupAddress): boolean {
    return this.#host.groups.get(group)!.members.size > 0;
  }

  #state(stream: Stream): UserState | GroupState {
    const found = isGroupName(stream) ? this.#host.groups.get(stream) : this.#host.users.get(stream);
    return found!;
  }

  all(): Map<Stream, UserState | GroupState> {
    return new Map(STREAMS.map((stream) => [stream, this.#state(stream)]));
  }

  /** Holds what lived against what a load finds now. */
  #expectOne(stream: Stream, atRest: boolean): void {
    const lived = this.#state(stream);
    const loaded = isGroupName(stream)
      ? atOnce(GroupState.load(stream, lived.log))
      : atOnce(UserState.load(stream, userAddress(stream), lived.log, 0));
    expectSame(lived, loaded!, atRest);
  }
}

const isGroupName = (stream: Stream): stream is GroupAddress => stream.startsWith("#");

function expectSame(lived: UserState | GroupState | undefined, loaded: UserState | GroupState, atRest: boolean): void {
  const [before, after] = [snapshot(lived, atRest), snapshot(loaded, atRest)] as Record<string, unknown>[];
  // What was counted is noted with a record of its own, or with a later flush (stored-counts.ts).
  const isNoted = !(loaded instanceof GroupState) || loaded.authorBytes.isCounted;
  if (!isNoted) for (const picture of [before, after]) delete picture!["authorBytes"];
  expect(after).toEqual(before);
}

test("state that lived through a history is the state that is loaded after it, in every turn", async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
    const lived = new Lived();
    await lived.begin();
    for (const one of steps) await lived.take(one);
    await lived.end();
  });
  await fc.assert(property, seeded(25));
}, 120_000);

test("a new life of a group says nothing of the former one, lived as loaded", async () => {
  const lived = new Lived(STREAMS.length);
  const [group, who, part] = [CREW, PEOPLE[1]!, 1 as const];
  const steps: Step[] = [
    { kind: "say", who: PEOPLE[0]!, to: group, times: 3 },
    { kind: "received", who, to: group, part },
    { kind: "read", who, to: group, part },
    { kind: "keep for", group, days: 3 },
    { kind: "flush" },
    { kind: "dissolve", group },
    { kind: "again", group, others: [who] },
    { kind: "say", who, to: group, times: 3 },
    { kind: "read", who: PEOPLE[0]!, to: group, part },
  ];
  await lived.begin();
  for (const one of steps) await lived.take(one);
  await lived.end();
});

/** Files and folders with objects of their own, which are no state of a user or group, or with another rule. */
const MAY_CHANGE_BESIDE: Record<string, string> = {
  "mirrors/followed-group.ts": "a copy of where a group of another node stands, which is not stored",
  "user-state.ts": "is the state",
  "group-state.ts": "is the state",
  "shard.ts": "has marks of its own",
  "mark-offer.ts": "what is said to another shard",
  "group-heads.ts": "a head that is kept of a group that is not loaded",
  "erasure.ts": "adds up what is about to go",
  "expiry.ts": "how long one life of a group keeps its messages",
  "stored-counts.ts": "what nobody has counted before",
  "decode-frame.ts": "fields of a frame",
};

test("what is durable is changed in the fold alone", async () => {
  const lived = new Lived();
  await lived.begin();
  const states = [...lived.all().values(), new ConversationState(userAddress(PEOPLE[0]!))];
  await lived.end();
  const fields = new Set(states.flatMap((state) => Object.keys(snapshot(state, false) as object)));
  // Whose it is never changes.
  for (const field of ["user", "address", "deliveredKey"]) fields.delete(field);
  const change = new RegExp(`\\.(${[...fields].join("|")})( = | [-+]= |\\+\\+|\\.(set|clear|delete)\\()`);
  const directory = new URL("../../src/home/", import.meta.url).pathname;
  const changing = new Set<string>();
  for await (const path of new Bun.Glob("**/*.ts").scan(directory))
    if (change.test(await Bun.file(directory + path).text())) changing.add(path);
  const inFold = [...changing].filter((path) => path.startsWith("fold/"));
  expect(inFold.length).toBeGreaterThan(3);
  const beside = [...changing].filter((path) => !path.startsWith("fold/"));
  const known = Object.keys(MAY_CHANGE_BESIDE);
  expect(beside.filter((path) => !known.some((place) => path.endsWith(place)))).toEqual([]);
});

test.each([
  ["UserState", "state/user-state.ts"],
  ["ConversationState", "state/conversation-state.ts"],
  ["GroupState", "state/group-state.ts"],
  ["AuthorBytes", "fold/author-bytes.ts"],
])("a field of %s that is not compared has a reason", async (name, path) => {
  const source = await Bun.file(new URL(`../../src/home/${path}`, import.meta.url)).text();
  const fields = new Set(
    [...source.matchAll(/^ {2}(?:(?:readonly|async|static) )*\*?#(\w+)/gm)].map(([, field]) => field!),
  );
  expect([...fields].toSorted()).toEqual(Object.keys(PRIVATE[name]!).toSorted());
  for (const field of Object.keys(LEFT_OUT[name]!))
    expect(source).toMatch(new RegExp(`^ {2}(readonly )?${field}\\b`, "m"));
});
