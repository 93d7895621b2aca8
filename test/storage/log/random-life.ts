/** One random history of a log: pushes, roll-backs, failed writes, takings by others, trims, power cuts. Replayed by its seed. */
import { FencedError } from "../../../storage/errors.ts";
import type { ShardId } from "../../../storage/types.ts";
import { randomFrom } from "../../support/random.ts";
import type { ShardUser } from "./log-user.ts";
import { type LogWorld, openLog, type OpenLog, reopened, SHARDS } from "./log-world.ts";

/** What was read of a shard when it was opened, and who has used it since. */
type Known = { base: string[]; user: ShardUser };

const STEPS = 30;

class Life {
  readonly #world: LogWorld;
  readonly #random: () => number;
  readonly #known = new Map<ShardId, Known>();
  readonly #fenced = new Set<string>();
  #open: OpenLog;
  #count = 0;

  constructor(world: LogWorld, random: () => number, open: OpenLog) {
    this.#world = world;
    this.#random = random;
    this.#open = open;
    for (const [shard, user] of open.users) this.#known.set(shard, { base: [], user });
  }

  async step(): Promise<void> {
    const pick = this.#random();
    if (pick < 0.6) this.#push();
    else if (pick < 0.7) await this.#open.log.idle();
    else if (pick < 0.76) this.#world.failNext(this.#any(), this.#random() < 0.5 ? "nothing" : "written");
    else if (pick < 0.82) this.#world.take?.(this.#any());
    else if (pick < 0.9) await this.#crash();
    else await this.#goOn();
  }

  async end(): Promise<void> {
    await this.#goOn();
    await this.#crash();
  }

  #any(): ShardId {
    return SHARDS[Math.floor(this.#random() * SHARDS.length)]!;
  }

  #push(): void {
    const { log, users } = this.#open;
    const { savepoint } = log.appender;
    for (let n = Math.ceil(this.#random() * 4); n > 0; n--) {
      const user = users.get(this.#any())!;
      try {
        user.push(log, `${++this.#count}`);
      } catch (error) {
        if (!(error instanceof FencedError)) throw error;
      }
    }
    if (this.#random() < 0.1) log.appender.rollBack(savepoint);
  }

  /** Opens again whatever has failed. */
  async #goOn(): Promise<void> {
    await this.#open.log.idle();
    for (const shard of SHARDS) {
      if (this.#open.log.failure(shard) === undefined) continue;
      const expected = this.#expected();
      this.#open = await reopened(this.#world, this.#open, shard);
      this.#check(expected);
    }
  }

  async #crash(): Promise<void> {
    if (this.#random() < 0.5) await this.#open.log.idle();
    // Whatever the log that is lost tells later, nobody hears.
    const expected = this.#expected();
    this.#world.crash();
    this.#open = await openLog(this.#world);
    this.#check(expected);
  }

  /** What was committed of each shard so far. */
  #expected(): Map<ShardId, string[]> {
    const faults = [...this.#known.values()].flatMap(({ user }) => user.faults);
    if (faults.length > 0) throw new Error(faults.join("; "));
    for (const { user } of this.#known.values())
      for (const { text, error } of user.failed) if (error instanceof FencedError) this.#fenced.add(text);
    return new Map([...this.#known].map(([shard, { base, user }]) => [shard, [...base, ...user.texts]]));
  }

  /** All of it is there, in its place, and nothing that was fenced. What nobody knew of is certain from now on. */
  #check(expected: Map<ShardId, string[]>): void {
    for (const [shard, user] of this.#open.users) {
      if (this.#known.get(shard)!.user === user) continue;
      const texts = this.#open.read.texts(shard);
      for (const [index, text] of expected.get(shard)!.entries()) {
        if (texts[index] !== text) throw new Error(`shard ${shard}: ${text} was committed, found is ${texts[index]}`);
      }
      const fenced = texts.find((text) => this.#fenced.has(text));
      if (fenced !== undefined) throw new Error(`shard ${shard}: ${fenced} was fenced, and is there`);
      this.#known.set(shard, { base: texts, user });
    }
  }
}

export async function liveAtRandom(world: LogWorld, seed: number): Promise<void> {
  const life = new Life(world, randomFrom(seed), await openLog(world));
  try {
    for (let n = 0; n < STEPS; n++) await life.step();
    await life.end();
  } catch (error) {
    throw new Error(`SEED=${seed} RUNS=1 shows it: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
