import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Positions, streamOf, TIMELINE, type Entry, type HeldFrame } from "../../src/client/positions.ts";
import type { Cursor, GapFrame, MessageFrame, ServerFrame, WelcomeFrame } from "../../src/protocol/frames.ts";
import { seeded } from "../support/seed.ts";

const ME = "me";
const GROUPS = ["#a", "#b", "#c"];
const RESUME_ENTRIES_MAX = 4;

const limits = {} as WelcomeFrame["limits"];

/** What is true: the logs as a server has them. Entries are message, membership and group frames; seqs are dense by construction. */
class Truth {
  readonly timeline: Entry[] = [];
  readonly groups = new Map<string, { epoch: string; log: Entry[]; joinedAt: number | undefined }>();
  epoch = "e1";
  #ids = 0;

  direct(from: string, ref?: string): Entry {
    return this.#push(this.timeline, { t: "message", ...this.#body("@bob", from, ref) });
  }

  message(group: string, from: string, ref?: string): Entry | undefined {
    const log = this.groups.get(group)?.log;
    return log === undefined ? undefined : this.#push(log, { t: "message", ...this.#body(group, from, ref) });
  }

  /** Joins (or makes) the group: an entry in its log and one in the timeline, returned in that order. */
  join(group: string): Entry[] {
    let state = this.groups.get(group);
    if (state === undefined) this.groups.set(group, (state = { epoch: `${group}1`, log: [], joinedAt: undefined }));
    if (state.joinedAt !== undefined) return [];
    const joined = this.#push(state.log, {
      t: "group",
      conversation: group,
      seq: 0,
      change: "joined",
      by: "x",
      at: 0,
      user: ME,
    });
    state.joinedAt = joined.seq;
    const { epoch } = state;
    return [
      joined,
      this.#push(this.timeline, {
        t: "membership",
        seq: 0,
        conversation: group,
        change: "joined",
        groupSeq: joined.seq,
        epoch,
      }),
    ];
  }

  head(group: string): number {
    return this.groups.get(group)?.log.length ?? 0;
  }

  #body(conversation: string, from: string, ref?: string) {
    const body = { id: `m${++this.#ids}`, conversation, from, text: "x", seq: 0, sentAt: 0 };
    return ref === undefined ? body : { ...body, ref };
  }

  #push<T extends Entry>(log: Entry[], frame: T): T {
    const entry = { ...frame, seq: log.length + 1 };
    log.push(entry);
    return entry;
  }
}

/** The device: the position machine, and the least that must be around it. */
class Device {
  readonly positions = new Positions({ from: "start", heldMax: 1000 });
  readonly handed = new Map<string, number[]>();
  resumes = 0;
  mustResume = false;
  readonly paging = new Set<string>();
  readonly acked = new Set<string>();
  resets: string[] = [];

  constructor(cursor?: Cursor) {
    this.positions.load(cursor);
  }

  receive(frames: readonly (ServerFrame | HeldFrame)[], isPaged = false): void {
    for (const frame of frames) {
      if (this.mustResume) return;
      this.#one(frame, isPaged);
    }
  }

  /** One page of what is missing; `limit` entries. */
  page(stream: string, log: readonly Entry[], limit: number): void {
    if (this.mustResume) return;
    const after = this.positions.seqOf(stream) ?? 0;
    this.receive(log.slice(after, after + limit), true);
    const end = this.positions.pageEnd(stream, after + limit >= log.length);
    expect(end.lost).toBeUndefined();
    if (end.isDone) this.paging.delete(stream);
    this.receive(end.released ?? []);
  }

  #one(frame: ServerFrame | HeldFrame, isPaged: boolean): void {
    switch (frame.t) {
      case "welcome":
        return this.positions.welcome(frame);
      case "live":
        return this.receive(this.positions.live());
      case "reset": {
        const stream = frame.conversation ?? TIMELINE;
        const outcome = this.positions.reset(frame.conversation);
        this.resets.push(stream);
        this.handed.delete(stream);
        if (outcome === "fetch") this.paging.add(stream);
        return;
      }
      case "gap": {
        const outcome = this.positions.gap(frame);
        if (outcome === "fetch") this.paging.add(streamOf(frame));
        if (outcome === "broken") this.mustResume = true;
        return;
      }
      case "message":
      case "sent":
      case "membership":
      case "group":
        return this.#entry(frame, isPaged);
      default:
        throw new Error(`the model's server sends no ${frame.t}`);
    }
  }

  #entry(frame: Entry, isPaged: boolean): void {
    const verdict = this.positions.judge(frame, isPaged);
    if (frame.t === "sent") this.acked.add(frame.ref);
    if (verdict === "broken") this.mustResume = true;
    if (verdict !== "next") return;
    const released = this.positions.commit(frame, isPaged);
    const stream = streamOf(frame);
    this.handed.set(stream, [...(this.handed.get(stream) ?? []), frame.seq]);
    if (released !== undefined) this.receive(released);
  }
}

/** The server's side of one connection: streams entries of each log in order; membership and group entries in whatever order of streams. */
class Session {
  readonly #truth: Truth;
  readonly #sentRefs: ReadonlySet<string>;
  readonly #at = new Map<string, number>();
  readonly wire: ServerFrame[] = [];

  constructor(truth: Truth, cursor: Cursor, sentRefs: ReadonlySet<string>, timelineFirst: boolean) {
    this.#truth = truth;
    this.#sentRefs = sentRefs;
    const groups = Object.fromEntries(
      [...truth.groups]
        .filter(([, g]) => g.joinedAt !== undefined)
        .map(([name, g]) => [name, { epoch: g.epoch, seq: g.log.length }]),
    );
    this.wire.push({
      t: "welcome",
      user: ME,
      device: "d",
      node: "n",
      epoch: truth.epoch,
      timeline: truth.timeline.length,
      groups,
      marks: 0,
      heartbeatMs: 0,
      limits,
    });
    const streams = [...truth.groups.keys()];
    if (timelineFirst) streams.unshift(TIMELINE);
    else streams.push(TIMELINE);
    for (const stream of streams) this.#resume(stream, cursor);
    this.wire.push({ t: "live" });
  }

  /** Puts everything new on the wire; the streams in the order given. */
  pump(order: readonly string[]): void {
    for (const stream of order) {
      const log = this.#logOf(stream);
      const from = this.#at.get(stream) ?? this.#startOf(stream);
      if (from === undefined) continue;
      for (const entry of log.slice(from)) this.wire.push(this.#asSeenHere(entry));
      this.#at.set(stream, log.length);
    }
  }

  #resume(stream: string, cursor: Cursor): void {
    const log = this.#logOf(stream);
    const has = stream === TIMELINE ? { epoch: cursor.epoch, seq: cursor.timeline } : cursor.groups[stream];
    const epoch = stream === TIMELINE ? this.#truth.epoch : this.#truth.groups.get(stream)?.epoch;
    let from = has?.seq ?? this.#startOf(stream);
    if (from === undefined) return;
    this.#at.set(stream, log.length);
    if (has !== undefined && has.seq > 0 && has.epoch !== epoch) {
      this.wire.push(stream === TIMELINE ? { t: "reset" } : { t: "reset", conversation: stream });
      return;
    }
    if (log.length - from > RESUME_ENTRIES_MAX) {
      const gap: GapFrame = { t: "gap", from: from + 1, to: log.length - 1 };
      this.wire.push(stream === TIMELINE ? gap : { ...gap, conversation: stream });
      from = log.length - 1;
    }
    for (const entry of log.slice(from)) this.wire.push(entry);
  }

  #startOf(stream: string): number | undefined {
    if (stream === TIMELINE) return 0;
    const joinedAt = this.#truth.groups.get(stream)?.joinedAt;
    return joinedAt === undefined ? undefined : joinedAt - 1;
  }

  #logOf(stream: string): Entry[] {
    return stream === TIMELINE ? this.#truth.timeline : (this.#truth.groups.get(stream)?.log ?? []);
  }

  /** Own messages of this connection come as the ack, not as a message. */
  #asSeenHere(entry: Entry): ServerFrame {
    if (entry.t !== "message" || entry.ref === undefined || !this.#sentRefs.has(entry.ref)) return entry;
    const { ref, id, conversation, seq, sentAt } = entry;
    return { t: "sent", ref, id, conversation, seq, sentAt };
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("direct" as const), own: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("group" as const), group: fc.constantFrom(...GROUPS), own: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("join" as const), group: fc.constantFrom(...GROUPS) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("pump" as const),
      order: fc.shuffledSubarray([TIMELINE, ...GROUPS], { minLength: 4 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("deliver" as const), count: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("page" as const), limit: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), timelineFirst: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("repeat" as const), at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("lose" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("rebuild" as const), stream: fc.constantFrom(TIMELINE, ...GROUPS) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

class World {
  readonly truth = new Truth();
  device = new Device();
  #session: Session;
  readonly #past: ServerFrame[] = [];
  #refs = 0;
  #sentRefs = new Set<string>();

  constructor() {
    this.#session = this.#connect(true);
  }

  run(steps: readonly Step[]): void {
    for (const each of steps) {
      this.#step(each);
      if (this.device.mustResume) this.#reconnect(true);
      this.check(false);
    }
    this.#settle();
    this.check(true);
  }

  /** Every stream was handed over densely and in order, from its beginning (or where the user joined). */
  check(isAtEnd: boolean): void {
    for (const [stream, seqs] of this.device.handed) {
      for (let i = 1; i < seqs.length; i++) expect(seqs[i]).toBe((seqs[i - 1] ?? 0) + 1);
      expect(seqs[0]).toBe(stream === TIMELINE ? 1 : (this.truth.groups.get(stream)?.joinedAt ?? -1));
    }
    if (!isAtEnd) return;
    expect(this.device.handed.get(TIMELINE)?.length ?? 0).toBe(this.truth.timeline.length);
    for (const [group, { log, joinedAt }] of this.truth.groups) {
      if (joinedAt !== undefined) expect(this.device.handed.get(group)?.at(-1)).toBe(log.length);
    }
  }

  #step(each: Step): void {
    switch (each.do) {
      case "direct":
        return void this.truth.direct(each.own ? ME : "bob", this.#ref(each.own));
      case "group":
        return void this.truth.message(each.group, each.own ? ME : "bob", this.#ref(each.own));
      case "join":
        return void this.truth.join(each.group);
      case "pump":
        return this.#session.pump(each.order);
      case "deliver":
        return this.#deliver(each.count);
      case "page":
        return this.#page(each.limit);
      case "cut":
        return this.#reconnect(each.timelineFirst);
      case "restart":
        return this.#restart();
      case "repeat":
        return this.device.receive(this.#past.slice(each.at, each.at + 1));
      case "lose":
        // Only an entry: a connection does not lose frames, but a broken server might, and then nothing may come out of order.
        if (this.#session.wire[0]?.t === "message") this.#session.wire.shift();
        return;
      case "rebuild":
        return this.#rebuild(each.stream);
    }
  }

  #ref(isOwn: boolean): string | undefined {
    if (!isOwn) return undefined;
    const ref = `r${++this.#refs}`;
    this.#sentRefs.add(ref);
    return ref;
  }

  #deliver(count: number): void {
    const frames = this.#session.wire.splice(0, count);
    for (const frame of frames)
      if (frame.t === "message" || frame.t === "group" || frame.t === "membership") this.#past.push(frame);
    this.device.receive(frames);
  }

  #page(limit: number): void {
    for (const stream of this.device.paging) {
      const log = stream === TIMELINE ? this.truth.timeline : (this.truth.groups.get(stream)?.log ?? []);
      this.device.page(stream, log, limit);
    }
  }

  /** A history restored from a backup: the same entries under a new name (so that what must come again is known). */
  #rebuild(stream: string): void {
    const group = this.truth.groups.get(stream);
    if (stream === TIMELINE) this.truth.epoch += "'";
    else if (group?.joinedAt === 1) group.epoch += "'";
    else return;
    this.#past.length = 0;
    this.#reconnect(true);
  }

  #restart(): void {
    const { cursor } = this.device.positions;
    const { handed, resets } = this.device;
    this.device = new Device(cursor === undefined ? undefined : structuredClone(cursor));
    for (const [stream, seqs] of handed) this.device.handed.set(stream, seqs);
    this.device.resets = resets;
    this.#session = this.#connect(true);
  }

  #reconnect(timelineFirst: boolean): void {
    this.device.mustResume = false;
    this.device.paging.clear();
    this.device.resumes++;
    this.#session = this.#connect(timelineFirst);
  }

  #connect(timelineFirst: boolean): Session {
    this.device.positions.begin();
    const { cursor } = this.device.positions;
    if (cursor === undefined) throw new Error("a device from the start has a cursor");
    return new Session(this.truth, structuredClone(cursor), this.#sentRefs, timelineFirst);
  }

  #settle(): void {
    for (let round = 0; round < 1000; round++) {
      this.#session.pump([TIMELINE, ...GROUPS]);
      this.#deliver(1000);
      this.#page(2);
      if (this.device.mustResume) this.#reconnect(true);
      else if (this.#session.wire.length === 0 && this.device.paging.size === 0) {
        if (!this.device.positions.isAwaitingMembership && this.#isThrough()) return;
        this.#reconnect(true);
      }
    }
    throw new Error("the device never caught up");
  }

  /** A lost last entry can be missed by nobody but a resume, so the end compares with the truth. */
  #isThrough(): boolean {
    const { positions } = this.device;
    const isLevel = ([group, { log, joinedAt }]: [string, { log: Entry[]; joinedAt: number | undefined }]) =>
      joinedAt === undefined || positions.seqOf(group) === log.length;
    return positions.seqOf(TIMELINE) === this.truth.timeline.length && [...this.truth.groups].every(isLevel);
  }
}

describe("the position machine", () => {
  test(`hands over every entry once, in order and densely, whatever happens`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => new World().run(steps)),
      seeded(400),
    );
  });

  test("a join that was held from the replay does not bring back the history that the group had then", () => {
    const steps: Step[] = [
      { do: "direct", own: false },
      { do: "direct", own: false },
      { do: "pump", order: [TIMELINE, "#b", "#a", "#c"] },
      { do: "direct", own: false },
      { do: "deliver", count: 4 },
      { do: "direct", own: false },
      { do: "join", group: "#b" },
      { do: "rebuild", stream: "#b" },
      { do: "deliver", count: 4 },
      { do: "rebuild", stream: TIMELINE },
      { do: "deliver", count: 2 },
      { do: "rebuild", stream: TIMELINE },
    ];
    new World().run(steps);
  });

  test("the model reaches gaps, holds, holes, resets and joins", () => {
    const seen = { resumes: 0, resets: 0, groups: 0 };
    for (const steps of fc.sample(fc.array(step, { maxLength: 120, size: "max" }), { seed: 7, numRuns: 60 })) {
      const world = new World();
      world.run(steps);
      seen.resumes += world.device.resumes;
      seen.resets += world.device.resets.length;
      seen.groups += world.device.handed.size;
    }
    expect(seen.resumes).toBeGreaterThan(50);
    expect(seen.resets).toBeGreaterThan(5);
    expect(seen.groups).toBeGreaterThan(60);
  });
});

const message = (seq: number, conversation = "@bob"): MessageFrame => ({
  t: "message",
  id: `m${seq}`,
  conversation,
  from: "bob",
  text: "x",
  seq,
  sentAt: 0,
});
const welcome = (timeline: number, groups: Cursor["groups"] = {}): WelcomeFrame => ({
  t: "welcome",
  user: ME,
  device: "d",
  node: "n",
  epoch: "e1",
  timeline,
  groups,
  marks: 3,
  heartbeatMs: 0,
  limits,
});

function at(timeline: number, groups: Cursor["groups"] = {}, from: "now" | "start" = "now"): Positions {
  const positions = new Positions({ from, heldMax: 3 });
  positions.load({ epoch: "e1", timeline, groups });
  positions.welcome(welcome(timeline, groups));
  positions.live();
  return positions;
}

describe("a position", () => {
  test("starts at the heads of welcome on a device that starts now", () => {
    const positions = new Positions({ from: "now", heldMax: 3 });
    positions.load(undefined);
    expect(positions.cursor).toBeUndefined();
    positions.welcome(welcome(5, { "#a": { epoch: "a1", seq: 2 } }));
    expect(positions.cursor).toEqual({ epoch: "e1", timeline: 5, groups: { "#a": { epoch: "a1", seq: 2 } }, marks: 3 });
  });

  test("takes the next entry, knows a repeated one, and refuses a hole", () => {
    const positions = at(5);
    expect(positions.judge(message(6), false)).toBe("next");
    expect(positions.judge(message(5), false)).toBe("seen");
    expect(positions.judge(message(7), false)).toBe("broken");
  });

  test("holds entries of an unknown group until its membership, which places them", () => {
    const positions = at(5);
    expect(positions.judge(message(8, "#a"), false)).toBe("hold");
    expect(positions.isAwaitingMembership).toBe(true);
    expect(positions.cursor?.groups).toEqual({});
    const released = positions.commit(
      { t: "membership", seq: 6, conversation: "#a", change: "joined", groupSeq: 8, epoch: "a1" },
      false,
    );
    expect(released).toEqual([message(8, "#a")]);
    expect(positions.judge(message(8, "#a"), false)).toBe("next");
  });

  test("in a group left and joined again stays where it was", () => {
    const positions = at(5, { "#a": { epoch: "a1", seq: 3 } });
    positions.commit(
      { t: "membership", seq: 6, conversation: "#a", change: "joined", groupSeq: 9, epoch: "a1" },
      false,
    );
    expect(positions.seqOf("#a")).toBe(3);
  });

  test("in a group made anew under the same name begins anew, but not on a replay of the old one", () => {
    const positions = at(5, { "#a": { epoch: "a1", seq: 30 } });
    positions.commit(
      { t: "membership", seq: 6, conversation: "#a", change: "joined", groupSeq: 1, epoch: "a2" },
      false,
    );
    expect(positions.cursor?.groups["#a"]).toEqual({ epoch: "a2", seq: 0 });
    positions.begin();
    positions.welcome(welcome(9, { "#a": { epoch: "a2", seq: 4 } }));
    positions.commit(
      { t: "membership", seq: 7, conversation: "#a", change: "joined", groupSeq: 1, epoch: "a1" },
      false,
    );
    expect(positions.cursor?.groups["#a"]).toEqual({ epoch: "a2", seq: 0 });
  });

  test("in a group created anew goes on from its first entry, also where that comes before the membership", () => {
    for (const seq of [9, 4, 0]) {
      const positions = at(5, { "#a": { epoch: "a1", seq } });
      positions.live();
      const created = {
        t: "group",
        conversation: "#a",
        seq: 10,
        change: "created",
        epoch: "a2",
        by: "x",
        at: 0,
      } as const;
      expect(positions.judge(created, false)).toBe("next");
      positions.commit(created, false);
      positions.commit(
        { t: "membership", seq: 6, conversation: "#a", change: "joined", groupSeq: 10, epoch: "a2" },
        false,
      );
      expect(positions.cursor?.groups["#a"]).toEqual({ epoch: "a2", seq: 10 });
      expect(positions.judge(message(11, "#a"), false)).toBe("next");
      expect(positions.judge(created, false)).toBe("seen");
    }
  });

  test("leaves an old ack of a repeated send alone, and counts a fresh ack as the entry", () => {
    const positions = at(5);
    const sent = { t: "sent" as const, ref: "r", id: "m", conversation: "@bob", sentAt: 0 };
    expect(positions.judge({ ...sent, seq: 9, duplicate: true }, false)).toBe("later");
    expect(positions.judge({ ...sent, seq: 9 }, false)).toBe("broken");
    expect(positions.judge({ ...sent, seq: 6 }, false)).toBe("next");
  });

  test("behind a gap moves only by what is paged; what waits behind it comes after, and a bound ends the waiting", () => {
    const positions = at(5);
    expect(positions.gap({ t: "gap", from: 6, to: 7 })).toBe("fetch");
    for (const seq of [8, 9, 10]) expect(positions.judge(message(seq), false)).toBe("hold");
    expect(positions.judge(message(11), false)).toBe("broken");
    for (const seq of [6, 7]) positions.commit(message(seq), true);
    expect(positions.pageEnd(TIMELINE, false)).toEqual({
      isDone: true,
      released: [message(8), message(9), message(10)],
    });
  });

  test("goes on behind entries the server named and does not have, and says which", () => {
    const positions = at(5);
    positions.gap({ t: "gap", from: 6, to: 20 });
    expect(positions.skipTo(TIMELINE, 9)).toEqual({ from: 6, to: 8 });
    positions.commit(message(9), true);
    expect(positions.pageEnd(TIMELINE, true)).toEqual({ isDone: true, released: [], lost: { from: 10, to: 20 } });
    expect(positions.seqOf(TIMELINE)).toBe(20);
  });

  test("is dropped by a reset: to the head, or to the beginning where everything is wanted", () => {
    const now = at(5);
    expect(now.reset(undefined)).toBe("broken");
    now.begin();
    now.welcome({ ...welcome(2), epoch: "e2" });
    expect(now.reset(undefined)).toBe("accepted");
    expect(now.cursor).toEqual({ epoch: "e2", timeline: 2, groups: {}, marks: 3 });
    const start = at(5, {}, "start");
    start.begin();
    start.welcome({ ...welcome(2), epoch: "e2" });
    expect(start.reset(undefined)).toBe("fetch");
    expect(start.cursor?.timeline).toBe(0);
  });
});
