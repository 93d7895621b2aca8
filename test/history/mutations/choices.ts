/** Where a history can be changed. */
import type { AnswerLine, CallLine, HistoryLine, WireFrame } from "../../../scripts/history/format.ts";
import { logOf, type Edited, type Got } from "../edited.ts";

export type Body = Record<string, unknown>;
export type Message = { id: string; seq: number; conversation: string; from: string; text: string };
export type Answered = { call: CallLine; callIndex: number; answer: AnswerLine; body: Body; index: number };

export const textOf = (frame: WireFrame): unknown => frame["text"];
export const refOf = ({ body }: CallLine): unknown => (body as Body)["ref"];
export const framesIn = (body: Body): WireFrame[] => (body["frames"] ?? []) as WireFrame[];
export const messagesIn = (body: Body): Message[] => (body["messages"] ?? []) as Message[];
export const noCandidate = (): never => {
  throw new Error("the history has nothing of that kind");
};

/** Calls that were answered. */
export function answers({ lines }: Edited, method: string, path: string): Answered[] {
  const calls = new Map<number, { call: CallLine; callIndex: number }>();
  return lines.flatMap((line, index) => {
    if (line.is === "call") calls.set(line.call, { call: line, callIndex: index });
    const called = line.is === "answer" ? calls.get(line.call) : undefined;
    if (line.is !== "answer" || called?.call.method !== method || !called.call.path.includes(path)) return [];
    return [{ ...called, answer: line, body: (line.body ?? {}) as Body, index }];
  });
}

export const replayed = (history: Edited): Got[] =>
  history.entries.filter(
    (one) =>
      !one.isLive && one.isResumed && one.frame.t === "message" && history.isSeenByOthers(one) && hasLive(history, one),
  );

export const hasLive = ({ got }: Edited, { c, index }: Got): boolean =>
  got.some((one) => one.c === c && one.index > index && one.frame.t === "live");

export function isInMiddle(sign: string): (one: Got, at: number, all: Got[]) => boolean {
  return ({ log, seq, c, frame, isLive }, _, all) =>
    log?.startsWith(sign) === true &&
    frame.t === "message" &&
    isLive &&
    all.some((one) => one.c === c && one.log === log && one.seq === seq + 1);
}

/** Messages of one log that come directly after each other on a live connection, and that others saw, too. */
export function neighbours(history: Edited): [Got, Got][] {
  const all = history.entries;
  return all.flatMap((one, at) => {
    const next = all[at + 1];
    if (next === undefined || !one.isLive || one.frame.t !== "message" || next.frame.t !== "message") return [];
    if (next.c !== one.c || next.log !== one.log || next.seq !== one.seq + 1 || !history.isSeenByOthers(one)) return [];
    return one.log?.startsWith("#") === true ? [[one, next] as [Got, Got]] : [];
  });
}

export function pairsOfAcks(history: Edited): [Got, Got][] {
  const acks = history.got.filter(({ frame }) => frame.t === "sent" && frame["duplicate"] === undefined);
  return acks.flatMap((one) => {
    const next = acks.find((other) => other.c === one.c && other.index > one.index && other.log === one.log);
    return next === undefined ? [] : [[one, next] as [Got, Got]];
  });
}

/** The last entry that a connection got of a log, where it is open and live at the end. */
export function tails(history: Edited): Got[] {
  const open = history.openAtEnd;
  const last = new Map<string, Got>();
  for (const one of history.entries) last.set(`${one.c} ${one.log}`, one);
  const heads = new Map<string, number>();
  for (const { log, seq } of last.values()) heads.set(String(log), Math.max(seq, heads.get(String(log)) ?? 0));
  return [...last.values()].filter(
    ({ c, isLive, log, seq }) => open.has(c) && isLive && seq === heads.get(String(log)),
  );
}

export type Welcome = { frame: WireFrame; user: string; hello: number; cursor: Body };

/** Answers to a `hello` with a cursor. */
export function welcomes(history: Edited): Welcome[] {
  const hellos = new Map<number, { hello: number; cursor: Body }>();
  history.lines.forEach((line, hello) => {
    if (
      line.is === "out" &&
      typeof line.frame === "object" &&
      line.frame.t === "hello" &&
      line.frame["cursor"] !== undefined
    )
      hellos.set(line.c, { hello, cursor: line.frame["cursor"] as Body });
  });
  return history.got.flatMap(({ frame, user, c }) => {
    const said = hellos.get(c);
    return frame.t === "welcome" && said !== undefined ? [{ frame, user, ...said }] : [];
  });
}

function acksOf(history: Edited, user: string): { index: number; seq: number }[] {
  const posted = answers(history, "POST", "/v1/messages").flatMap(({ call, body, index }) => {
    const isOwn = call.user === user && String(body["conversation"]).startsWith("@");
    return isOwn && typeof body["seq"] === "number" ? [{ index, seq: body["seq"] }] : [];
  });
  return [...history.entries.filter(({ log, frame }) => log === `@${user}` && frame.t === "sent"), ...posted];
}

const highest = (all: readonly { index: number; seq: number }[], before: number): number =>
  Math.max(0, ...all.filter(({ index }) => index < before).map(({ seq }) => seq));
export const ackedThrough = (history: Edited, user: string, before: number): number =>
  highest(acksOf(history, user), before);
export const shownThrough = (history: Edited, user: string, before: number): number =>
  highest(
    history.entries.filter(({ log }) => log === `@${user}`),
    before,
  );

export function isAcked(history: Edited, { call, callIndex }: Answered, conversation: string, seq: number): boolean {
  const log = conversation.startsWith("#") ? conversation : `@${call.user}`;
  return history.entries.some(
    (one) => one.log === log && one.seq === seq && one.frame.t === "sent" && one.index < callIndex,
  );
}

/** Answers to refs that had an ack before. */
export function repeats(history: Edited): Answered[] {
  const acked = new Set<string>();
  return answers(history, "POST", "/v1/messages")
    .filter((one) => one.answer.status < 300)
    .filter(({ call }) => {
      const key = `${call.user} ${String(refOf(call))}`;
      const isRepeat = acked.has(key);
      acked.add(key);
      return isRepeat;
    });
}

/** Takes one entry out of everything that anybody got. */
export function unseen(history: Edited, { log, seq }: Got): void {
  history.sift((user, frame) => logOf(user, frame) !== log || frame["seq"] !== seq);
}

/** A live connection gets a message again, at the next seq. */
export function doubled(history: Edited, isIt: (message: WireFrame, user: string) => boolean): void {
  const tail = history.any(
    tails(history).filter(
      ({ log, user }) =>
        log?.startsWith("@") &&
        history.got.some((one) => one.user === user && one.frame.t === "message" && isIt(one.frame, user)),
    ),
  );
  const { frame } = history.any(
    history.got.filter(
      (one) =>
        one.user === tail.user &&
        one.frame.t === "message" &&
        String(one.frame["conversation"]).startsWith("@") &&
        isIt(one.frame, tail.user),
    ),
  );
  history.insert(history.lines.length - 1, history.in(tail.c, { ...frame, seq: tail.seq + 1 }));
}

export const shownToOthers = (history: Edited): Got[] =>
  history.got.filter(({ frame, user, index }) => {
    const ack = ackOf(history, frame);
    return frame.t === "message" && frame["from"] !== user && ack !== undefined && ack.index < index;
  });

export const ackOf = (history: Edited, { id }: WireFrame): Got | undefined =>
  history.got.find(({ frame }) => frame.t === "sent" && frame["id"] === id);

export const timesSent = ({ lines }: Edited, ref: unknown): number =>
  lines.filter((line: HistoryLine) => line.is === "out" && typeof line.frame === "object" && line.frame["ref"] === ref)
    .length;

/** A receipt directly behind the ack, where the receiver gets the message later. */
export function tooEarly(history: Edited, kind: string): void {
  const first = new Map<unknown, Got>();
  for (const one of history.got)
    if (one.frame.t === "message" && one.frame["from"] !== one.user && !first.has(one.frame["id"]))
      first.set(one.frame["id"], one);
  const acks = history.got.filter(
    ({ frame, user, index }) =>
      frame.t === "sent" && frame["conversation"] !== `@${user}` && (first.get(frame["id"])?.index ?? 0) > index,
  );
  const { c, index, frame, seq } = history.any(
    acks.filter(({ frame }) => String(frame["conversation"]).startsWith("@")),
  );
  const { conversation } = frame;
  history.insert(
    index + 1,
    history.in(c, { t: "receipt", kind, conversation, by: String(conversation).slice(1), seq }),
  );
}

/** Where a message was sent first; -1 if it was not sent over a socket. */
export function sendOf(history: Edited, shown: WireFrame): number {
  const ref = ackOf(history, shown)?.frame["ref"];
  return history.lines.findIndex(
    (line) =>
      line.is === "out" &&
      typeof line.frame === "object" &&
      line.frame.t === "send" &&
      line.frame["ref"] === ref &&
      textOf(line.frame) === textOf(shown),
  );
}
