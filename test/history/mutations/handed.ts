/** G8 and G9: messages that do not come, come twice, or are dropped on a live connection. */
import { doubled, tails } from "./choices.ts";
import type { Mutation } from "./mutation.ts";

export const HANDED: Mutation[] = [
  {
    guarantee: "G8",
    name: "an acked message never comes to its receiver",
    mutate(history) {
      const { c, user, seq } = history.any(tails(history).filter(({ log }) => log?.startsWith("@")));
      const to = user === "user0" ? "@user1" : "@user0";
      history.insert(
        history.lines.length - 1,
        { is: "out", c, frame: { t: "send", ref: "never", to, text: "lost" } },
        history.in(c, { t: "sent", ref: "never", id: "lost", conversation: to, seq: seq + 1, sentAt: 1 }),
      );
    },
  },
  {
    guarantee: "G8",
    name: "a message comes to its receiver twice",
    mutate: (history) =>
      doubled(
        history,
        (message, user) => message["from"] !== user && message["conversation"] === `@${String(message["from"])}`,
      ),
  },
  {
    guarantee: "G9",
    name: "a live connection leaves an entry out",
    mutate(history) {
      const live = history.entries.filter(({ isLive, frame }) => isLive && frame.t === "message");
      const { index } = history.any(
        live.filter(
          (one) =>
            history.entries.some((next) => next.c === one.c && next.log === one.log && next.seq === one.seq + 1) &&
            history.isSeenByOthers(one),
        ),
      );
      history.drop(index);
    },
  },
  {
    guarantee: "G9",
    name: "a live connection leaves the last entry out",
    mutate(history) {
      history.drop(
        history.any(tails(history).filter((one) => one.frame.t === "message" && history.isSeenByOthers(one))).index,
      );
    },
  },
];
