/** Small histories, written by hand: what a random run seldom has. */
import { describe, expect, test } from "bun:test";
import type { HistoryLine, WireFrame } from "../../scripts/history/format.ts";
import { check } from "./histories.ts";

type Lines = (HistoryLine | HistoryLine[])[];

const HEADER = { history: 1, order: "total", isComplete: true };
const EMPTY = { epoch: "", timeline: 0, groups: {} };

const out = (c: number, frame: WireFrame): HistoryLine => ({ is: "out", c, frame });
const got = (c: number, frame: WireFrame): HistoryLine => ({ is: "in", c, frame });
const send = (c: number, ref: string, to: string, text: string, at = 0, retry = false): HistoryLine => ({
  ...out(c, retry ? { t: "send", ref, to, text, retry } : { t: "send", ref, to, text }),
  at,
});
const sent = (c: number, ref: string, conversation: string, seq: number, id = `m-${ref}`, at = 0): HistoryLine => ({
  ...got(c, { t: "sent", ref, id, conversation, seq, sentAt: 1 }),
  at,
});
const message = (
  c: number,
  from: string,
  text: string,
  seq: number,
  id: string,
  conversation = `@${from}`,
): HistoryLine => got(c, { t: "message", id, conversation, from, text, seq, sentAt: 1 });
const END: HistoryLine = { is: "end", settled: true };

/** A connection with a cursor. */
const resume = (c: number, user: string, cursor: object, heads: object): HistoryLine[] => [
  { is: "open", c, user, device: "d" },
  out(c, { t: "hello", cursor }),
  got(c, { t: "welcome", user, device: "d", epoch: "e", timeline: 0, groups: {}, marks: 0, ...heads }),
];
const live = (c: number): HistoryLine => got(c, { t: "live" });
const begin = (c: number, user: string): HistoryLine[] => [...resume(c, user, EMPTY, {}), live(c)];

async function found(...lines: Lines): Promise<string[]> {
  const text = [HEADER, ...lines.flat()].map((line) => `${JSON.stringify(line)}\n`).join("");
  return (await check(text)).violations.map(
    ({ guarantee, lines, problem }) => `${guarantee} ${problem} (${lines.join(", ")})`,
  );
}

describe("nothing is found", () => {
  test("when history was restored: another epoch, and a reset", async () => {
    const cursor = { epoch: "e", timeline: 1, groups: {} };
    const told = resume(2, "ann", cursor, { epoch: "restored", timeline: 0 });
    const again = [send(2, "r2", "@ann", "two"), sent(2, "r2", "@ann", 1)];
    expect(
      await found(
        begin(1, "ann"),
        send(1, "r1", "@ann", "one"),
        sent(1, "r1", "@ann", 1),
        { is: "close", c: 1, code: 1006 },
        told,
        got(2, { t: "reset" }),
        live(2),
        again,
        END,
      ),
    ).toEqual([]);
  });

  test("when a message was erased meanwhile", async () => {
    const erased = { t: "message", id: "other", conversation: "@ann", from: "", seq: 1, sentAt: 0, deletedAt: 9 };
    const cursor = { ...EMPTY, timeline: 0 };
    expect(
      await found(
        begin(1, "ann"),
        begin(2, "bob"),
        send(1, "r1", "@bob", "one"),
        sent(1, "r1", "@bob", 1),
        message(2, "ann", "one", 1, "m-r1"),
        resume(3, "bob", cursor, { timeline: 1 }),
        got(3, erased),
        live(3),
        END,
      ),
    ).toEqual([]);
  });

  test("when an unmarked ref is used again after more than a minute", async () => {
    expect(
      await found(
        begin(1, "ann"),
        send(1, "r", "@ann", "one"),
        sent(1, "r", "@ann", 1, "m1", 5),
        send(1, "r", "@ann", "two", 70_000),
        sent(1, "r", "@ann", 2, "m2", 70_001),
        END,
      ),
    ).toEqual([]);
  });

  test("when a send was refused for the moment, and a later one was taken before it", async () => {
    const refused = got(1, { t: "error", ref: "r1", code: "unavailable", detail: "" });
    expect(
      await found(
        begin(1, "ann"),
        send(1, "r1", "@ann", "one"),
        refused,
        send(1, "r2", "@ann", "two"),
        sent(1, "r2", "@ann", 1),
        send(1, "r1", "@ann", "one", 0, true),
        sent(1, "r1", "@ann", 2),
        END,
      ),
    ).toEqual([]);
  });

  test("when a message of a new group comes before the membership that introduces it", async () => {
    const created = { t: "group", conversation: "#g", seq: 1, change: "created", epoch: "g1", by: "ann", at: 1 };
    const joined = { t: "membership", seq: 1, conversation: "#g", change: "joined", groupSeq: 1, epoch: "g1" };
    expect(await found(begin(1, "bob"), got(1, created), got(1, joined), END)).toEqual([]);
  });
});

describe("is found", () => {
  test("the same ref with another text within a minute, unmarked (G2)", async () => {
    const [problem] = await found(
      begin(1, "ann"),
      send(1, "r", "@ann", "one"),
      sent(1, "r", "@ann", 1, "m1", 5),
      send(1, "r", "@ann", "two", 30_000),
      sent(1, "r", "@ann", 2, "m2", 30_001),
      END,
    );
    expect(problem).toBe('G2 ref "r" of ann is message m1, and later message m2 (7, 8, 9)');
  });

  test("a group whose first entry lies behind where the user joined (G3)", async () => {
    const renamed = { t: "group", conversation: "#g", seq: 3, change: "renamed", by: "ann", at: 1, name: "n" };
    const joined = { t: "membership", seq: 1, conversation: "#g", change: "joined", groupSeq: 2, epoch: "g1" };
    expect(await found(begin(1, "bob"), got(1, renamed), got(1, joined), END)).toEqual([
      "G3 bob's device d did not get seq 2 of #g on a live connection, and nobody ever saw it (3, 7)",
    ]);
  });

  test("a receiver's timeline in another order than the author's (G4)", async () => {
    const sends = [
      send(1, "r1", "@bob", "one"),
      send(1, "r2", "@bob", "two"),
      sent(1, "r1", "@bob", 1),
      sent(1, "r2", "@bob", 2),
    ];
    const problems = await found(
      begin(1, "ann"),
      begin(2, "bob"),
      sends,
      message(2, "ann", "two", 1, "m-r2"),
      message(2, "ann", "one", 2, "m-r1"),
      END,
    );
    expect(problems.map((problem) => problem.slice(0, 2))).toEqual(["G4"]);
  });

  test("a receipt in a group for what the member has not said (G6)", async () => {
    const receipt = { t: "receipt", kind: "delivered", conversation: "#g", by: "bob", seq: 3 };
    expect(
      await found(
        begin(1, "ann"),
        begin(2, "bob"),
        out(2, { t: "received", conversation: "#g", seq: 2 }),
        got(1, receipt),
        END,
      ),
    ).toEqual(["G6 ann was told that bob has delivered #g up to 3; bob had said 2 (11)"]);
  });

  test("a gap that begins behind what is missing, and the rest of which somebody saw (G7)", async () => {
    const entries = [1, 2, 3].flatMap((n) => [send(1, `r${n}`, "@ann", `${n}`), sent(1, `r${n}`, "@ann", n)]);
    const problems = await found(
      begin(1, "ann"),
      entries,
      resume(2, "ann", EMPTY, { timeline: 3 }),
      got(2, { t: "gap", from: 2, to: 3 }),
      live(2),
      END,
    );
    expect(problems.map((problem) => problem.slice(0, 2))).toEqual(["G7"]);
  });
});
