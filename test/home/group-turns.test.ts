/** Changes of one group take turns at its shard, and not more than so many wait there. */
import { expect, test } from "bun:test";
import { answered, StepTurns, type Steps } from "../../src/base/steps.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { GroupAddress } from "../../src/domain/address.ts";

import { CHANGES_MAX, GroupTurns } from "../../src/home/groups/group-turns.ts";
import { until } from "../support/wait.ts";

const CLUB = "#club" as GroupAddress;
const CREW = "#crew" as GroupAddress;

const turns = new StepTurns(systemClock);
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    ({ code, message }: { code?: string; message: string }) => code ?? message,
  );

/** Changes that end when they are let go, which may be before they begin. */
class Changes {
  readonly said: string[] = [];
  readonly groupTurns = new GroupTurns();
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();

  begin(group: GroupAddress, name: string): Promise<string> {
    const change = (): Steps<string> => this.#change(name);
    return turns.run(this.groupTurns.run(group, change));
  }

  end(name: string): void {
    this.#gate(name).resolve();
  }

  #gate(name: string): PromiseWithResolvers<void> {
    const gate = this.#gates.get(name) ?? Promise.withResolvers<void>();
    this.#gates.set(name, gate);
    return gate;
  }

  *#change(name: string): Steps<string> {
    this.said.push(`${name} begins`);
    yield* answered(this.#gate(name).promise);
    this.said.push(`${name} ends`);
    if (name === "bad") throw new Error(name);
    return name;
  }
}

test("changes of one group run one after the other, behind one that failed, too; another group's do not wait", async () => {
  const changes = new Changes();
  const one = changes.begin(CLUB, "one");
  const bad = codeOf(changes.begin(CLUB, "bad"));
  const three = changes.begin(CLUB, "three");
  const other = changes.begin(CREW, "other");
  await until("both groups have one that is under way", () => changes.said.length === 2);
  expect(changes.said).toEqual(["one begins", "other begins"]);
  for (const name of ["other", "three", "bad", "one"]) changes.end(name);
  expect(await Promise.all([one, bad, three, other])).toEqual(["one", "bad", "three", "other"]);
  expect(changes.said.filter((said) => !said.startsWith("other"))).toEqual([
    "one begins",
    "one ends",
    "bad begins",
    "bad ends",
    "three begins",
    "three ends",
  ]);
});

test("so many changes of one group wait, more are refused, and another group's are not", async () => {
  const changes = new Changes();
  const names = Array.from({ length: CHANGES_MAX }, (_, n) => `change ${n}`);
  const waiting = Promise.all(names.map((name) => changes.begin(CLUB, name)));
  expect(await codeOf(changes.begin(CLUB, "one more"))).toBe("unavailable");
  changes.end("other");
  expect(await changes.begin(CREW, "other")).toBe("other");
  for (const name of names) changes.end(name);
  expect(await waiting).toEqual(names);
  changes.end("last");
  expect(await changes.begin(CLUB, "last")).toBe("last");
});
