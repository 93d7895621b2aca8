import { expect, test } from "bun:test";
import { FrameTurns, type TurnTaker } from "../../src/home/session/frame-turns.ts";
import { HandClock } from "../home/hand-clock.ts";

const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

test("one whose frame throws is told, gets no more turns, and keeps nobody from theirs", async () => {
  const turns = new FrameTurns(new HandClock());
  const acted: string[] = [];
  const errors: unknown[] = [];
  const taker = (user: string, name: string, frames: number): TurnTaker => ({
    user,
    actOnNext() {
      acted.push(name);
      if (name === "broken") throw new Error("broken");
      return --frames > 0;
    },
    failed: (error) => void errors.push(error),
  });
  turns.add(taker("ann", "broken", 9));
  turns.add(taker("ann", "ann", 2));
  turns.add(taker("ben", "ben", 2));
  await nextTurn();
  expect(errors).toEqual([new Error("broken")]);
  expect(acted).toEqual(["broken", "ben", "ann", "ben", "ann"]);
  turns.add(taker("cem", "cem", 1));
  await nextTurn();
  expect(acted.at(-1)).toBe("cem");
});
