/** Changes of one group take turns at its shard, and not more than so many wait there. */
import { expect, test } from "bun:test";
import { answered, StepTurns, type Steps } from "../../src/base/steps.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { GroupAddress } from "../../src/domain/address.ts";
import { CHANGES_MAX, GroupTurns } from "../../src/shard/group-turns.ts";

const CLUB = "#club" as GroupAddress;
const CREW = "#crew" as GroupAddress;

const turns = new StepTurns(systemClock);
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    ({ code, message }: { code?: string; message: string }) => code ?? message,
  );

/** Changes that wait until they are let go, and say when they begin and end. */
class Changes {
  readonly said: string[] = [];
  readonly groupTurns = new GroupTurns();
  readonly #ends = new Map<string, () => void>();

  begin(group: GroupAddress, name: string): Promise<string> {
    const change = (): Steps<string> => this.#change(name);
    return turns.run(this.groupTurns.take(group, change));
  }

  end(name: string): void {
    this.#ends.get(name)!();
  }

  *#change(name: string): Steps<string> {
    this.said.push(`${name} begins`);
    yield* answered(new Promise<void>((resolve) => void this.#ends.set(name, resolve)));
    this.said.push(`${name} ends`);
    if (name.startsWith("bad")) throw new Error(name);
    return name;
  }
}

test("changes of one group run one after the other, behind one that failed, too; another group's do not wait", async () => {
  const changes = new Changes();
  const [one, bad, three] = ["one", "bad", "three"].map((name) => changes.begin(CLUB, name));
  const other = changes.begin(CREW, "other");
  expect(changes.said).toEqual(["one begins", "other begins"]);
  changes.end("one");
  expect(await one!).toBe("one");
  await turns.run(answered(Promise.resolve()));
  changes.end("bad");
  expect(await codeOf(bad!)).toBe("bad");
  await turns.run(answered(Promise.resolve()));
  changes.end("three");
  changes.end("other");
  expect(await Promise.all([three, other])).toEqual(["three", "other"]);
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
  const waiting = names.map((name) => changes.begin(CLUB, name));
  expect(await codeOf(changes.begin(CLUB, "one more"))).toBe("unavailable");
  const other = changes.begin(CREW, "other");
  changes.end("other");
  expect(await other).toBe("other");
  for (const [n, name] of names.entries()) {
    changes.end(name);
    expect(await waiting[n]).toBe(name);
    await turns.run(answered(Promise.resolve()));
  }
  const last = changes.begin(CLUB, "last");
  changes.end("last");
  expect(await last).toBe("last");
});
