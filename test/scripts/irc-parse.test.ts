import { expect, test } from "bun:test";
import fc from "fast-check";
import { userIdOf, userIdsOf } from "../../scripts/irc/nicks.ts";
import { dateOfFile, parseDay } from "../../scripts/irc/parse.ts";
import { planImport } from "../../scripts/irc/plan.ts";
import { seeded } from "../support/seed.ts";

const LEGAL = /^[a-z0-9][a-z0-9._-]{0,31}$/;

test("a nick that is a legal id stands for itself; others are told apart, capitals included", () => {
  expect(userIdOf("jdub")).toBe("jdub");
  const alike = ["seveas", "Seveas", "SEVEAS", "seveas_", "seveas`", "seveas^", "seveas|"];
  expect(new Set(alike.map(userIdOf)).size).toBe(alike.length);
});

test("every nick gets a legal id, and no two the same", () => {
  const nick = fc.string({ unit: fc.constantFrom(..."abAB01[]{}|^`_-\\."), minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.uniqueArray(nick, { maxLength: 50 }), (nicks) => {
      const ids = userIdsOf(nicks);
      expect(new Set(ids.values()).size).toBe(nicks.length);
      for (const id of ids.values()) expect(id).toMatch(LEGAL);
    }),
    seeded(100),
  );
});

test("the id of a nick does not depend on who else is there", () => {
  expect(userIdsOf(["Ann", "ann"]).get("Ann")).toBe(userIdsOf(["Ann"]).get("Ann") as string);
});

test("a line addressed to a nick of the day goes to that person, whoever speaks first", () => {
  const day = parseDay(
    "2005-02-06",
    "[04:04] <ann> bob: hi\n[04:05] <bob> ann, hi\n[04:05] <bob> note: x\n[04:06] <bob> bob: mine\n",
  );
  expect(day.lines.map((line) => line.addressee)).toEqual(["bob", undefined, undefined, "bob"]);
});

test("only `nick:` followed by a space addresses, in exactly the nick's case", () => {
  const day = parseDay(
    "2005-02-06",
    "[04:04] <Bob> Ann:hi\n[04:04] <Ann> bob: hi\n[04:04] <Ann> Bob:\n[04:04] <Ann> hi Bob: hi\n",
  );
  expect(day.lines.map((line) => line.addressee)).toEqual([undefined, undefined, "Bob", undefined]);
});

test("what is no message is skipped and counted; numbers are those of the file", () => {
  const day = parseDay(
    "2005-02-06",
    "\uFEFF[04:04] <a> x\r\n=== b has joined\n[04:05] <b>  \n\n[04:06] <b>  two  spaces \n",
  );
  expect(day.skipped).toBe(2);
  expect(day.lines.map(({ number, text }) => [number, text])).toEqual([
    [1, "x"],
    [5, " two  spaces "],
  ]);
});

test("minutes go on over midnight and never fall", () => {
  const day = parseDay("2005-02-06", "[23:58] <a> 1\n[23:57] <a> 2\n[00:01] <a> 3\n[00:03] <a> 4\n");
  expect(day.lines.map((line) => line.minute)).toEqual([1438, 1438, 1441, 1443]);
});

test("a nick is all that stands between the brackets", () => {
  const day = parseDay("2005-02-06", "[04:04] <[cro] smiley> a\n[04:04] <zcat[1] > b\n[04:04] <zcat[1]> c\n");
  expect(day.nicks).toEqual(["[cro] smiley", "zcat[1] ", "zcat[1]"]);
  expect(new Set(day.nicks.map(userIdOf)).size).toBe(3);
});

test("the date comes from the file's name, and a name without one is refused", () => {
  expect(dateOfFile("../x/2005-02-06.log")).toBe("2005-02-06");
  expect(dateOfFile("2005-02-06_raw.txt")).toBe("2005-02-06");
  expect(() => dateOfFile("ubuntu.log")).toThrow("rename it to YYYY-MM-DD.log");
});

test("a plan plays the days in the order of their dates, with refs that rise for each sender", () => {
  const later = parseDay("2005-02-07", "[01:00] <ann> later\n[01:10] <cid> ann: x\n");
  const earlier = parseDay("2005-02-06", "[04:00] <ann> bob: hi\n[04:30] <bob> all\n");
  const plan = planImport([later, earlier]);
  expect(plan.lines).toEqual([
    { from: "ann", to: "@bob", text: "bob: hi", ref: "20050206-1", minute: 0 },
    { from: "bob", to: "#ubuntu-2005-02-06", text: "all", ref: "20050206-2", minute: 30 },
    { from: "ann", to: "#ubuntu-2005-02-07", text: "later", ref: "20050207-1", minute: 31 },
    { from: "cid", to: "@ann", text: "ann: x", ref: "20050207-2", minute: 41 },
  ]);
  expect(plan.users.map((user) => user.id)).toEqual(["ann", "bob", "cid"]);
  expect(plan.groups.map((group) => [group.id, group.members])).toEqual([
    ["ubuntu-2005-02-06", ["ann", "bob"]],
    ["ubuntu-2005-02-07", ["ann", "cid"]],
  ]);
  expect([plan.direct, plan.group, plan.deliveries]).toEqual([2, 2, 4]);
});

test("notes to oneself are no deliveries; two files of one day and files without messages are refused", () => {
  const notes = parseDay("2005-02-06", "[04:00] <ann> ann: mine\n");
  expect(planImport([notes])).toMatchObject({ direct: 1, group: 0, deliveries: 0 });
  expect(() => planImport([notes, notes])).toThrow("two files are of 2005-02-06");
  expect(() => planImport([parseDay("2005-02-06", "nothing\n")])).toThrow("no line like");
});
