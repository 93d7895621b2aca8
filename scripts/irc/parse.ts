/**
 * Parses the logs: one file a day, named `YYYY-MM-DD.log`, one message a line: `[hh:mm] <nick> text`. Pure: texts in,
 * days out.
 */

export type IrcLine = {
  /** Line in the file, from 1. */
  number: number;
  /** Minutes since the midnight before the first line. It never falls, even if the log runs past midnight. */
  minute: number;
  nick: string;
  text: string;
  /** The nick to whom the line is addressed (`nick: …`), one of that day's. */
  addressee?: string;
};

export type IrcDay = {
  /** `2005-02-06` */
  date: string;
  lines: IrcLine[];
  /** Nicks that spoke that day, in the order of their first lines. */
  nicks: string[];
  /** Lines that are not messages (joins, actions, empty texts). */
  skipped: number;
  /** Messages with too much text. They are not in the other fields. */
  tooLong: { number: number; bytes: number }[];
};

const DATED_FILE = /(?:^|[/\\])(\d{4}-\d{2}-\d{2})[^/\\]*$/;
/** The nick is everything between the brackets: some logs have nicks with spaces, even at the end. */
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

/**
 * A time that falls by more than half a day has passed midnight. One that falls by less was set back; then the last
 * time is kept.
 */
function unwrapped(minuteOfDay: number, last: number): number {
  const day = Math.floor(last / MINUTES_A_DAY) * MINUTES_A_DAY;
  const minute = day + minuteOfDay;
  if (minute < last - MINUTES_A_DAY / 2) return minute + MINUTES_A_DAY;
  return Math.max(minute, last);
}

/**
 * The line begins with exactly `nick:` and a space, and the nick spoke that day. `note: this` and `http://…` go to the
 * group. A comma does not address.
 */
function withAddressees(lines: IrcLine[], nicks: Set<string>): IrcLine[] {
  for (const line of lines) {
    const word = ADDRESSED.exec(line.text)?.[1];
    if (word !== undefined && nicks.has(word)) line.addressee = word;
  }
  return lines;
}
