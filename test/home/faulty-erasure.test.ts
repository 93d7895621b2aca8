/** A request to erase, over a wire that loses, repeats and delays, and over crashes: all of it goes, nothing else does, and it is counted once. */
import { expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { readTimelineEntry } from "../../src/domain/entries.ts";
import { cellText } from "../../src/home/state/cells.ts";
import { eraseRequested, erasureStatus, requestErasure } from "../../src/home/erasing/erase-user.ts";
import type { Shard } from "../../src/home/shard.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import { SEED } from "../support/seed.ts";
import { FaultyTalk, PEOPLE } from "./faulty-talk.ts";

const RUNS = Number(process.env["RUNS"] ?? 15);
const STEPS = 40;
const TURNS_MAX = 5000;
const [ANN] = PEOPLE as [UserId];
const ports = { isStopped: () => false, tidy: async () => {} };

/** How work ended that may fail for want of an answer, or that a crash has cut off. */
type End = "done" | "no answer" | "under way";

class FaultyErasure {
  readonly talk: FaultyTalk;
  #erasing: { end: End } | undefined;
  isRequested = false;

  constructor(seed: number) {
    this.talk = new FaultyTalk(seed);
  }

  /** Everybody knows everybody: who asks for a stranger and is dropped from memory meanwhile has to ask again, for ever where as few are in memory as here. */
  async begin(): Promise<void> {
    await this.talk.begin();
    for (const from of PEOPLE)
      for (const to of PEOPLE) {
        if (from === to) continue;
        this.talk.say(from, userAddress(to));
        await this.talk.settle();
      }
    this.talk.wire.isCalm = false;
  }

  get home(): Shard {
    return this.talk.shards.host.home(ANN);
  }

  async step(): Promise<void> {
    const { talk } = this;
    const drawn = talk.random();
    const person = (): UserId => PEOPLE[Math.floor(talk.random() * PEOPLE.length)]!;
    if (drawn < 0.5) talk.say(person(), userAddress(person()));
    else if (drawn < 0.8) await talk.turns(Math.floor(talk.random() * 12));
    else if (drawn < 0.9) this.#work();
    else if (drawn < 0.93) talk.sayAgain();
    else if (drawn < 0.97) await this.#crash();
  }

  /** Whatever is asked for is done. */
  async end(): Promise<void> {
    this.talk.wire.isCalm = true;
    this.#work();
    for (let turn = 0; !this.isRequested || this.#erasing?.end !== "done"; turn++) {
      if (turn > TURNS_MAX) throw new Error("the erasure does not end");
      if (this.#erasing?.end !== "under way") this.#work();
      await this.talk.turns(1);
    }
    await this.talk.settle();
  }

  #work(): void {
    if (this.#erasing?.end === "under way") return;
    const work = this.isRequested
      ? eraseRequested(this.home, ANN, ports)
      : requestErasure(this.home, ANN).then(() => void (this.isRequested = true));
    const erasing: { end: End } = { end: "under way" };
    this.#erasing = erasing;
    const isRequest = !this.isRequested;
    work.then(
      () => (erasing.end = isRequest ? "no answer" : "done"),
      (error: unknown) => {
        expect(error).toBeInstanceOf(AppError);
        erasing.end = "no answer";
      },
    );
  }

  async #crash(): Promise<void> {
    await this.talk.crash();
    this.#erasing = undefined;
    this.isRequested = this.home.log.cell(userAddress(ANN), "erasure") !== undefined;
  }

  timeline(user: UserId): StoredEntry[] {
    const { log } = this.talk.shards.host.home(user);
    return log.readForward(userAddress(user), 0 as Seq, 10_000);
  }

  expectErased(): void {
    const request = JSON.parse(cellText(this.home.log.cell(userAddress(ANN), "erasure"))) as { through: number };
    const own = this.timeline(ANN);
    for (const { payload, seq, lane } of own)
      if (lane.startsWith("@")) expect([seq, payload.length === 0]).toEqual([seq, seq <= request.through]);
    let tombstones = 0;
    for (const user of PEOPLE)
      for (const { payload, lane } of this.timeline(user)) {
        if (payload.length > 0) continue;
        tombstones++;
        if (user !== ANN) expect(lane).toBe(userAddress(ANN));
      }
    expect(erasureStatus(this.home.users.get(ANN)!)).toMatchObject({ entries: tombstones });
    for (const user of PEOPLE) if (user !== ANN) this.#expectTaken(user, request.through, own);
  }

  /** Everything that Ann wrote after the request, in order, and nothing from before. */
  #expectTaken(user: UserId, through: number, own: readonly StoredEntry[]): void {
    const taken = this.timeline(user)
      .filter(({ lane }) => lane === userAddress(ANN))
      .map((stored) => readTimelineEntry(stored))
      .flatMap((entry) => (entry.kind === "taken" ? [[entry.fromSeq as number, entry.text]] : []));
    const sent = own
      .filter(({ lane, seq }) => lane === userAddress(user) && seq > through)
      .map((stored) => ({ seq: stored.seq, entry: readTimelineEntry(stored) }))
      .flatMap(({ seq, entry }) => (entry.kind === "sent" ? [[seq as number, entry.text]] : []));
    expect(taken).toEqual(sent);
  }
}

test("a request erases all that it means and nothing else, and counts it once, whatever becomes of what crosses between shards", async () => {
  for (let run = 0; run < RUNS; run++) {
    const seed = SEED + run;
    const erasure = new FaultyErasure(seed);
    try {
      await erasure.begin();
      for (let step = 0; step < 2 * STEPS; step++) await erasure.step();
      await erasure.end();
      erasure.expectErased();
      await erasure.talk.shards.close();
    } catch (error) {
      throw new Error(`SEED=${seed} RUNS=1 npm test -- test/home/faulty-erasure`, { cause: error });
    }
  }
});
