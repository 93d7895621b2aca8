/** A router that loses, repeats, delays and reorders the marks that go through it, and what is told of them. Everything else passes. */
import { AppError } from "../../src/base/errors.ts";
import type { Handoff, HandoffOutcome } from "../../src/home/messages/handoff.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import type { Shard } from "../../src/home/shard.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import type { Random } from "../support/random.ts";

export type MarkFault =
  "none" | "lost" | "twice" | "late" | "unconfirmed" | "confirmed late" | "appended alone" | "away";
export const MARK_FAULTS: readonly MarkFault[] = [
  "none",
  "lost",
  "twice",
  "late",
  "unconfirmed",
  "confirmed late",
  "appended alone",
  "away",
];

const UNHEARD: HandoffOutcome = { confirmed() {}, missing() {}, notTaken() {} };

export class FaultyMarks {
  /** What happens to the next mark. */
  fault: () => MarkFault = () => "none";
  /** Marks that were handed over, as they were then. */
  readonly handed: Handoff[] = [];
  /** Who was to be told of the last one. */
  outcome: HandoffOutcome | undefined;
  #router: ShardRouter | undefined;
  readonly #late: (() => void)[] = [];

  /** What this shard hands over goes through it from now on. What is late arrives there as well, also when it was started anew. */
  between(shard: Shard): void {
    const router = shard.router;
    this.#router = router;
    const faulty: ShardRouter = Object.create(router, {
      handOff: {
        value: (to: ShardId, handoff: Handoff, outcome: HandoffOutcome) => this.#handOff(to, handoff, outcome),
      },
    }) as ShardRouter;
    // Methods of the router have private fields of it.
    for (const name of ["ask", "post", "cast", "mayReach"] as const)
      Object.defineProperty(faulty, name, { value: router[name].bind(router) });
    (shard as { router: ShardRouter }).router = faulty;
  }

  /** One of those that are late comes. */
  comeLate(random: Random): void {
    const [one] = this.#late.splice(Math.floor(random() * this.#late.length), 1);
    one?.();
  }

  #handOff(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void {
    if (handoff.kind !== "peerMark" && handoff.kind !== "memberMark")
      return this.#router!.handOff(to, handoff, outcome);
    const said = asItIs(handoff);
    this.handed.push(said);
    this.outcome = outcome;
    const take = (told = outcome): void => this.#router!.handOff(to, said, told);
    switch (this.fault()) {
      case "none":
        return take();
      case "lost":
        return;
      case "twice":
        take();
        return take();
      case "late":
        return void this.#late.push(() => take());
      case "unconfirmed":
        return take(UNHEARD);
      case "appended alone":
        return take({ ...UNHEARD, appended: (...through) => outcome.appended?.(...through) });
      case "confirmed late":
        return take({
          ...UNHEARD,
          confirmed: (...through) => void this.#late.push(() => outcome.confirmed(...through)),
        });
      case "away":
        throw new AppError("unavailable", "the other side's home is away");
    }
  }
}

type MarkHandoff = Extract<Handoff, { kind: "peerMark" | "memberMark" }>;

function asItIs(handoff: MarkHandoff): MarkHandoff {
  const [delivered, read]: [Seq, Seq] = [handoff.delivered, handoff.read];
  if (handoff.kind === "peerMark") return { kind: "peerMark", from: handoff.from, to: handoff.to, delivered, read };
  const { user, group, epoch } = handoff;
  return { kind: "memberMark", user, group, epoch, delivered, read };
}
