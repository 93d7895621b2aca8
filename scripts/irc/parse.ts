/** The logs: one file a day, named `YYYY-MM-DD.log`, one message a line: `[hh:mm] <nick> text`. Pure: takes texts, gives days. */

export type IrcLine = {
  /** Line in the file, from 1. */
  number: number;
  /** Minutes since the midnight before the first line; never falls, also when the log runs over midnight. */
  minute: number;
  nick: string;
  text: string;
  /** The nick of the day whom the line is addressed to (`nick: …`). */
  addressee?: string;
};

export type IrcDay = {
  /** `2005-02-06` */
  date: string;
  lines: IrcLine[];
  /** Who spoke that day, in the order of their first lines. */
  nicks: string[];
  /** Lines that are not messages (joins, actions, empty texts). */
  skipped: number;
  /** Messages with more text than a message may have. They are in none of the others. */
  tooLong: { number: number; bytes: number }[];
};

const DATED_FILE = /(?:^|[/\\])(\d{4}-\d{2}-\d{2})[^/\\]*$/;
/** The nick is all that stands between the brackets: some logs have nicks with spaces, even at the end. */
const MESSAGE = /^\[(\d\d):(\d\d)\] <([^>]+)> (.*\S.*)$/s;
const ADDRESSED = /^(\S+?):(?=\s|$)/;
const MINUTES_A_DAY = 1440;

/** @throws when the name of the file does not say the date. */
export function dateOfFile(path: string): string {
  const date = DATED_FILE.exec(path)?.[1];
  if (date === undefined)
    throw new Error(`${path}: the name does not begin with a date like 2005-02-06; rename it to YYYY-MM-DD.log`);
  return date;
}

/** @param textBytesMax of a message, in UTF-8 */
export function parseDay(date: string, content: string, textBytesMax = Number.POSITIVE_INFINITY): IrcDay {
  const lines: IrcLine[] = [];
  const tooLong: IrcDay["tooLong"] = [];
  const rows = content.replace(/^\uFEFF/, "").split("\n");
  let skipped = 0;
  let minute = 0;
  for (const [at, row] of rows.entries()) {
    const line = parseLine(row.endsWith("\r") ? row.slice(0, -1) : row, at + 1);
    if (line === undefined) {
      if (row.trim() !== "") skipped++;
      continue;
    }
    minute = line.minute = unwrapped(line.minute, minute);
    const bytes = Buffer.byteLength(line.text);
    if (bytes > textBytesMax) tooLong.push({ number: line.number, bytes });
    else lines.push(line);
  }
  const nicks = [...new Set(lines.map((line) => line.nick))];
  return { date, lines: withAddressees(lines, new Set(nicks)), nicks, skipped, tooLong };
}

function parseLine(row: string, number: number): IrcLine | undefined {
  const found = MESSAGE.exec(row);
  if (found === null) return undefined;
  const [, hours, minutes, nick, text] = found as unknown as [string, string, string, string, string];
  return { number, minute: Number(hours) * 60 + Number(minutes), nick, text };
}

/** A clock that falls by more than half a day went over midnight; one that falls by less was set back, and waits. */
function unwrapped(minuteOfDay: number, last: number): number {
  const day = Math.floor(last / MINUTES_A_DAY) * MINUTES_A_DAY;
  const minute = day + minuteOfDay;
  if (minute < last - MINUTES_A_DAY / 2) return minute + MINUTES_A_DAY;
  return Math.max(minute, last);
}

/** Exactly `nick:` and a space, and the nick spoke that day: `note: this` and `http://…` go to everybody. A comma does not address. */
function withAddressees(lines: IrcLine[], nicks: Set<string>): IrcLine[] {
  for (const line of lines) {
    const word = ADDRESSED.exec(line.text)?.[1];
    if (word !== undefined && nicks.has(word)) line.addressee = word;
  }
  return lines;
}
