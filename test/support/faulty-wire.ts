/** Carries bytes between shards: loses, repeats, delays and reorders them, and cuts pairs of shards off for a while, as a seed says. */
import type { ShardId } from "../../storage/types.ts";
import type { Random } from "./random.ts";

/** Shares are of what crosses, 0 to 1. */
export type Faults = {
  readonly lost: number;
  readonly repeated: number;
  readonly late: number;
  readonly lateTicksMax: number;
  /** Begins a cut between the two shards. */
  readonly cut: number;
  readonly cutTicksMax: number;
};

const FAULTS: Faults = { lost: 0.1, repeated: 0.1, late: 0.3, lateTicksMax: 12, cut: 0.01, cutTicksMax: 60 };

/** Who is there as a shard; undefined: whoever asks, which may be any. */
export type End = ShardId | undefined;

type Due = { readonly tick: number; readonly run: () => void };

export class FaultyWire {
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #nextTick: (run: () => void) => void;
  /** Until which tick. */
  readonly #cuts = new Map<string, number>();
  #due: Due[] = [];
  #underWay = 0;
  #tick = 0;
  #isTicking = false;
  /** No faults any more. What is late still comes. */
  isCalm = false;
  /** How many of them were, so that a test knows that it tested. */
  readonly counts = { carried: 0, lost: 0, repeated: 0, late: 0 };

  /** @param nextTick calls it once, a little later: a turn of the event loop, or a timer */
  constructor(random: Random, nextTick: (run: () => void) => void, faults: Partial<Faults> = {}) {
    this.#random = random;
    this.#nextTick = nextTick;
    this.#faults = { ...FAULTS, ...faults };
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  /** Never in the turn in which it is called. */
  carry(from: End, to: End, bytes: Buffer, deliver: (bytes: Buffer) => void): void {
    const { counts } = this;
    const { repeated } = this.#faults;
    counts.carried++;
    if (this.#isLost(from, to)) return void counts.lost++;
    const times = this.#happens(repeated) ? 2 : 1;
    counts.repeated += times - 1;
    for (let time = 0; time < times; time++) this.#deliverLater(Buffer.from(bytes), deliver);
  }

  #deliverLater(bytes: Buffer, deliver: (bytes: Buffer) => void): void {
    this.#underWay++;
    this.after(this.#ticks(), () => {
      this.#underWay--;
      deliver(bytes);
    });
  }

  after(ticks: number, run: () => void): void {
    const tick = this.#tick + ticks;
    const at = this.#due.findIndex((due) => due.tick > tick);
    this.#due.splice(at < 0 ? this.#due.length : at, 0, { tick, run });
    this.#tickSoon();
  }

  #ticks(): number {
    const { late, lateTicksMax } = this.#faults;
    if (!this.#happens(late)) return 1;
    this.counts.late++;
    return 1 + Math.floor(this.#random() * lateTicksMax);
  }

  #isLost(from: End, to: End): boolean {
    const { lost, cut, cutTicksMax } = this.#faults;
    if (this.isCalm) return false;
    if (from !== undefined && to !== undefined) {
      const pair = from < to ? `${from} ${to}` : `${to} ${from}`;
      if (this.#happens(cut)) this.#cutFor(pair, Math.floor(this.#random() * cutTicksMax));
      if ((this.#cuts.get(pair) ?? -1) >= this.#tick) return true;
    }
    return this.#happens(lost);
  }

  /** Ticks go on until it ends, also when nothing is under way. */
  #cutFor(pair: string, ticks: number): void {
    this.#cuts.set(pair, this.#tick + ticks);
    this.after(ticks + 1, () => {});
  }

  #happens(share: number): boolean {
    return !this.isCalm && this.#random() < share;
  }

  #tickSoon(): void {
    if (this.#isTicking || this.#due.length === 0) return;
    this.#isTicking = true;
    this.#nextTick(() => {
      this.#isTicking = false;
      this.#tick++;
      const now = this.#due.filter(({ tick }) => tick <= this.#tick);
      this.#due = this.#due.slice(now.length);
      this.#tickSoon();
      for (const { run } of now) runAlone(run);
    });
  }
}

/** What throws fails the test, and keeps nothing else from coming. */
function runAlone(run: () => void): void {
  try {
    run();
  } catch (error) {
    void Promise.reject(error);
  }
}
