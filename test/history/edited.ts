/** A history as a list that can be changed: who said what on which connection, and what it was. */
import type { FrameLine, HistoryLine, WireFrame } from "../../scripts/history/format.ts";
import type { Random } from "../support/random.ts";

/** A frame that a client got. `log` is where its entry stands, if it is one. */
export type Got = {
  index: number;
  c: number;
  user: string;
  frame: WireFrame;
  log: string | undefined;
  seq: number;
  isLive: boolean;
  /** The connection began with a cursor. */
  isResumed: boolean;
};

export class Edited {
  readonly random: Random;
  #lines: HistoryLine[];
  #got: Got[] | undefined;
  #seenBy: Map<string, Set<number>> | undefined;

  constructor(lines: readonly HistoryLine[], random: Random) {
    this.#lines = structuredClone([...lines]);
    this.random = random;
  }

  get lines(): HistoryLine[] {
    return this.#lines;
  }

  set lines(lines: HistoryLine[]) {
    this.#lines = lines;
    this.#got = undefined;
    this.#seenBy = undefined;
  }

  /** Of all connections, in order. */
  get got(): Got[] {
    return (this.#got ??= this.#read());
  }

  /** Frames that are, or stand for, an entry of a log. */
  get entries(): Got[] {
    return this.got.filter(({ log }) => log !== undefined);
  }

  /** Whether another connection got this entry, too. */
  isSeenByOthers({ c, log, seq }: Got): boolean {
    if (this.#seenBy === undefined) {
      this.#seenBy = new Map();
      for (const one of this.entries) {
        const key = `${one.log} ${one.seq}`;
        this.#seenBy.set(key, (this.#seenBy.get(key) ?? new Set()).add(one.c));
      }
    }
    const seen = this.#seenBy.get(`${log} ${seq}`) ?? new Set();
    return seen.size > (seen.has(c) ? 1 : 0);
  }

  #read(): Got[] {
    const users = new Map<number, string>();
    const live = new Set<number>();
    const resumed = new Set<number>();
    return this.lines.flatMap((line, index) => {
      if (line.is === "open") users.set(line.c, line.user);
      if (line.is === "out" && typeof line.frame === "object" && line.frame.t === "hello") {
        if (line.frame["cursor"] === undefined) live.add(line.c);
        else resumed.add(line.c);
      }
      if (line.is !== "in" || typeof line.frame === "string") return [];
      const { c, frame } = line;
      if (frame.t === "live") live.add(c);
      const user = users.get(c) ?? "";
      const log = logOf(user, frame);
      const got = { index, c, user, frame, log, seq: Number(frame["seq"]) };
      return [{ ...got, isLive: live.has(c) && frame.t !== "live", isResumed: resumed.has(c) }];
    });
  }

  /** @throws when the history has none: the mutation would show nothing */
  any<T>(all: readonly T[]): T {
    const chosen = all[Math.floor(this.random() * all.length)];
    if (chosen === undefined) throw new Error("the history has nothing of that kind");
    return chosen;
  }

  drop(...indexes: number[]): void {
    this.lines = this.lines.filter((_, index) => !indexes.includes(index));
  }

  insert(index: number, ...lines: HistoryLine[]): void {
    this.lines = this.lines.toSpliced(index, 0, ...lines);
  }

  /** Connections that are open and live at the end. */
  get openAtEnd(): Set<number> {
    const closed = new Set(this.lines.flatMap((line) => (line.is === "close" ? [line.c] : [])));
    return new Set(this.got.filter(({ c, isLive }) => isLive && !closed.has(c)).map(({ c }) => c));
  }

  /** Every frame and message anywhere, also in answers; those for which `keep` says false are taken out. */
  sift(keep: (user: string, frame: WireFrame) => boolean): void {
    const users = new Map<string, string>();
    this.lines = this.lines.flatMap((line): HistoryLine[] => {
      if (line.is === "open") users.set(`c${line.c}`, line.user);
      if (line.is === "call") users.set(`call${line.call}`, line.user);
      if (line.is === "in" && typeof line.frame === "object")
        return keep(users.get(`c${line.c}`) ?? "", line.frame) ? [line] : [];
      if (line.is !== "answer") return [line];
      const isKept = (frame: WireFrame) => keep(users.get(`call${line.call}`) ?? "", asFrame(frame));
      siftBody(line.body, isKept);
      const isPost = typeof line.body === "object" && line.body !== null && "seq" in line.body;
      return isPost && !isKept(line.body as WireFrame) ? [{ is: "lost", call: line.call }] : [line];
    });
  }

  in(c: number, frame: WireFrame): FrameLine {
    return { is: "in", c, frame };
  }
}

export function logOf(user: string, { t, conversation }: WireFrame): string | undefined {
  if (t !== "message" && t !== "sent" && t !== "membership" && t !== "group") return undefined;
  return String(conversation).startsWith("#") && t !== "membership" ? String(conversation) : `@${user}`;
}

function siftBody(body: unknown, keep: (frame: WireFrame) => boolean): void {
  if (typeof body !== "object" || body === null) return;
  const fields = body as Record<string, unknown>;
  for (const name of ["frames", "messages"])
    if (Array.isArray(fields[name])) fields[name] = (fields[name] as WireFrame[]).filter((frame) => keep(frame));
  if (Array.isArray(fields["conversations"]))
    for (const one of fields["conversations"] as unknown[]) siftBody(one, keep);
}

/** Messages of pages have no `t`. */
const asFrame = (frame: WireFrame): WireFrame => (frame.t === undefined ? { t: "message", ...frame } : frame);
