/** The lanes of a test, and whatever can disturb a log over them. */
import type { ShardId } from "../../../storage/types.ts";
import { randomFrom } from "../../support/random.ts";
import { until } from "../../support/wait.ts";
import { type LogWorld, SHARDS } from "./log-world.ts";
import { type Answer, LaneLog } from "./lane-log.ts";
import { laneOf, Lanes } from "./lanes.ts";

export class LaneWorld implements LogWorld {
  readonly lanes = new Lanes();
  readonly #random: () => number;
  readonly #answers: (Answer | undefined)[] = [];
  #held: (() => void)[] = [];
  #isHolding = false;
  #logs = 0;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  make: LogWorld["make"] = (hooks) => {
    const owner = `node ${++this.#logs}`;
    const answer = (lane: number): Answer => this.#answer(lane);
    return new LaneLog({ lanes: this.lanes, shards: SHARDS, owner, delay: this.#delay, answer, itemsMax: 30 }, hooks);
  };

  readonly #delay = async (): Promise<void> => {
    for (let turns = Math.floor(this.#random() * 4); turns >= 0; turns--)
      await new Promise((resolve) => setImmediate(resolve));
    if (this.#isHolding) await new Promise<void>((resolve) => this.#held.push(resolve));
  };

  #answer(lane: number): Answer {
    const answer = this.#answers[lane] ?? (this.#random() < 0.2 ? "taken, but the answer is lost" : "taken");
    this.#answers[lane] = undefined;
    return answer;
  }

  hold = (): void => void (this.#isHolding = true);

  release = (): void => {
    this.#isHolding = false;
    for (const go of this.#held.splice(0)) go();
  };

  held = (): Promise<void> => until("a request waits", () => this.#held.length > 0);

  failNext: LogWorld["failNext"] = (shard, does) => {
    this.#answers[laneOf(shard)] = does === "written" ? "taken, then out of reach" : "out of reach";
  };

  /** Whatever the log that is lost has under way can arrive still. */
  crash = (): void => {};

  take = (shard: ShardId): void => this.lanes.take(shard, "another node");
}
