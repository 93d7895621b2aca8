/** The plan: users, one group a day, and every line with its sender, conversation and ref, in the order of the logs. */
import type { WireAddress } from "../../src/protocol/frames.ts";
import { userIdsOf } from "./nicks.ts";
import type { IrcDay } from "./parse.ts";

export type PlannedUser = { id: string; nick: string };
export type PlannedGroup = { id: string; address: WireAddress; name: string; members: string[] };
export type PlannedLine = {
  from: string;
  to: WireAddress;
  text: string;
  /** `<yyyymmdd>-<line>`: the same in every run, rising for each sender. */
  ref: string;
  /** Minutes since the first line of all days, without the time between two days. */
  minute: number;
};

export type Plan = {
  users: PlannedUser[];
  groups: PlannedGroup[];
  lines: PlannedLine[];
  direct: number;
  group: number;
  /** Number of deliveries to other users' devices. */
  deliveries: number;
  skipped: number;
  /** Messages that are not played because their text is too long. */
  tooLong: number;
  /** Warnings to show before the import, a line each. */
  warnings: string[];
};

/** Warnings shown of one kind and day; the others are only counted. */
const NAMED_MAX = 5;

/** @throws when two files are for the same day, or there is nothing to play. */
export function planImport(days: IrcDay[]): Plan {
  const sorted = days.toSorted((a, b) => (a.date < b.date ? -1 : 1));
  const twice = sorted.find((day, at) => day.date === sorted[at - 1]?.date);
  if (twice !== undefined) throw new Error(`two files are of ${twice.date}; give one file a day`);
  const ids = userIdsOf(sorted.flatMap((day) => day.nicks));
  const idOf = (nick: string): string => ids.get(nick) ?? nick;
  const counts = { direct: 0, group: 0, deliveries: 0, skipped: 0, tooLong: 0 };
  const plan: Plan = { users: [], groups: [], lines: [], ...counts, warnings: [] };
  for (const [nick, id] of ids) plan.users.push({ id, nick });
  let minute = 0;
  for (const day of sorted) minute = addDay(plan, day, idOf, minute);
  if (plan.lines.length === 0) throw new Error('no line like "[hh:mm] <nick> text" in these files');
  return plan;
}

/** @returns the minute at which the next day begins. */
function addDay(plan: Plan, day: IrcDay, idOf: (nick: string) => string, startMinute: number): number {
  plan.skipped += day.skipped;
  plan.tooLong += day.tooLong.length;
  plan.warnings.push(...warningsOf(day));
  const first = day.lines[0];
  const last = day.lines.at(-1);
  if (first === undefined || last === undefined) return startMinute;
  const group: PlannedGroup = {
    id: `ubuntu-${day.date}`,
    address: `#ubuntu-${day.date}`,
    name: `#ubuntu, ${day.date}`,
    members: day.nicks.map(idOf),
  };
  plan.groups.push(group);
  const dayDigits = day.date.replaceAll("-", "");
  for (const line of day.lines) {
    const from = idOf(line.nick);
    const to = line.addressee === undefined ? group.address : `@${idOf(line.addressee)}`;
    plan.lines.push({
      from,
      to,
      text: line.text,
      ref: `${dayDigits}-${line.number}`,
      minute: startMinute + line.minute - first.minute,
    });
    if (line.addressee === undefined) plan.group++;
    else plan.direct++;
    plan.deliveries += line.addressee === undefined ? group.members.length - 1 : Number(to !== `@${from}`);
  }
  return startMinute + (last.minute - first.minute) + 1;
}

function warningsOf({ date, lines, skipped, tooLong }: IrcDay): string[] {
  const warnings = tooLong
    .slice(0, NAMED_MAX)
    .map(({ number, bytes }) => `${date}, line ${number}: not played, its text has ${bytes} bytes`);
  if (tooLong.length > NAMED_MAX) warnings.push(`${date}: not played, ${tooLong.length - NAMED_MAX} more such lines`);
  if (lines.length === 0 && skipped > 0)
    warnings.push(`${date}: none of its ${skipped} lines is like "[hh:mm] <nick> text"`);
  return warnings;
}
