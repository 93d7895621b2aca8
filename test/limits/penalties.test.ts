/** What is kept of tokens whose sockets flooded: for a while, and no more than a token can be. */
import { describe, expect, test } from "bun:test";
import { Penalties } from "../../src/home/session/penalties.ts";
import { HandClock } from "../home/hand-clock.ts";

describe("penalties:", () => {
  test("those that are over are not kept, whether the token comes back or not", () => {
    const clock = new HandClock();
    const penalties = new Penalties(clock);
    for (let n = 0; n < 100; n++) penalties.add(`token-${n}`);
    expect(penalties.waitMs("token-7")).toBe(10_000);
    clock.advance(10_000);
    penalties.add("another");
    expect(penalties.size).toBe(1);
    expect(penalties.waitMs("token-7")).toBe(0);
    expect(penalties.waitMs("another")).toBe(10_000);
  });

  test("what is longer than a token is not kept: no login is refused for it", () => {
    const penalties = new Penalties(new HandClock());
    penalties.add("x".repeat(60_000));
    expect(penalties.size).toBe(0);
  });

  test("of very many at once the oldest are forgotten", () => {
    const penalties = new Penalties(new HandClock());
    for (let n = 0; n < 10_100; n++) penalties.add(`token-${n}`);
    expect(penalties.size).toBe(10_000);
    expect([penalties.waitMs("token-99"), penalties.waitMs("token-100")]).toEqual([0, 10_000]);
  });
});
