/** What is written in another way than it is said is refused, never read as something else: two people must not become one. */
import { expect, test } from "bun:test";
import { displayNameOf } from "../../scripts/irc/accounts.ts";
import { decodeLog } from "../../scripts/irc/encoding.ts";
import { parseDay } from "../../scripts/irc/parse.ts";
import { planImport } from "../../scripts/irc/plan.ts";

const latin1 = (text: string): Uint8Array => Buffer.from(text, "latin1");
const TWO = "[04:04] <Jos\xe9> hi\n[04:05] <Jos\xe8> ol\xe9\n";

test("a Latin-1 file that is said to be UTF-8 is refused with file, line and what to do", () => {
  expect(() => decodeLog(latin1(`[04:03] <ann> fine\n${TWO}`), "utf-8", "logs/2005-02-06.log")).toThrow(
    "logs/2005-02-06.log, line 2: this is not UTF-8; give --encoding latin1, or mixed where only some lines are not",
  );
});

test("two nicks that differ in one byte stay two people", () => {
  const plan = planImport([parseDay("2005-02-06", decodeLog(latin1(TWO), "latin1", "x"))]);
  expect(plan.users.map(({ nick }) => nick)).toEqual(["José", "Josè"]);
  expect(new Set(plan.users.map(({ id }) => id)).size).toBe(2);
  expect(plan.lines.map(({ text }) => text)).toEqual(["hi", "olé"]);
});

test("in latin1 every byte is a character of its own, the Windows ones among them", () => {
  const text = decodeLog(
    Uint8Array.from({ length: 256 }, (_, byte) => byte),
    "latin1",
    "x",
  );
  expect([text.length, new Set(text).size]).toEqual([256, 256]);
  expect(decodeLog(Uint8Array.of(0x80, 0x93, 0xe9), "latin1", "x")).toBe("€“é");
});

test("in a mixed file each line is read as what it is", () => {
  const bytes = Buffer.concat([Buffer.from("[04:03] <Zo\u00eb> caf\u00e9 \u2713\r\n"), latin1(TWO)]);
  const day = parseDay("2005-02-06", decodeLog(bytes, "mixed", "x"));
  expect(day.lines.map(({ nick, text }) => `${nick}: ${text}`)).toEqual(["Zoë: café ✓", "José: hi", "Josè: olé"]);
});

test("a text that is valid UTF-8 is left as it is", () => {
  const text = "\uFEFF[04:04] <a\uFFFDb> \u2028 x\uFFFD\n[04:04] <a\uFFFCb> \r y\n";
  expect(decodeLog(Buffer.from(text), "utf-8", "x")).toBe(text);
  const day = parseDay("2005-02-06", text);
  expect(day.lines.map(({ text: line }) => line)).toEqual(["\u2028 x\uFFFD", "\r y"]);
  expect([day.nicks.length, day.skipped]).toEqual([2, 0]);
});

test("a message with more text than the server takes is not played, is named, and is in no other count", () => {
  const long = "é".repeat(50);
  const day = parseDay("2005-02-06", `[04:04] <ann> ${long}\n[04:05] <bob> ${long}x\n[04:06] <ann> cid: hi\n`, 100);
  expect(day.tooLong).toEqual([{ number: 2, bytes: 101 }]);
  const plan = planImport([day]);
  expect(plan).toMatchObject({ direct: 0, group: 2, deliveries: 0, skipped: 0, tooLong: 1 });
  expect(plan.users.map(({ id }) => id)).toEqual(["ann"]);
  expect(plan.warnings).toEqual(["2005-02-06, line 2: not played, its text has 101 bytes"]);
});

test("many long messages of a day are named in a few lines; a file without any message is named, too", () => {
  const rows = Array.from({ length: 8 }, () => "[04:04] <ann> too long").join("\n");
  const other = parseDay("2005-02-07", "04:04 <ann> another form\n".repeat(3));
  const plan = planImport([parseDay("2005-02-06", `${rows}\n[04:05] <ann> hi\n`, 5), other]);
  expect(plan.tooLong).toBe(8);
  expect(plan.warnings.slice(4)).toEqual([
    "2005-02-06, line 5: not played, its text has 8 bytes",
    "2005-02-06: not played, 3 more such lines",
    '2005-02-07: none of its 3 lines is like "[hh:mm] <nick> text"',
  ]);
});

test("a name that the server would refuse is shown in a way that it takes", () => {
  expect(displayNameOf("\u0003red\u0085")).toBe("\uFFFDred\uFFFD");
  expect(displayNameOf("😀".repeat(70))).toBe("😀".repeat(64));
});
