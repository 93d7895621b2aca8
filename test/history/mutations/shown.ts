/** G5: what is shown and was not sent, or is not there later. */
import { ackedThrough, shownThrough, shownToOthers, tails, sendOf, timesSent, welcomes } from "./choices.ts";
import type { Mutation } from "./mutation.ts";

export const SHOWN: Mutation[] = [
  {
    guarantee: "G5",
    name: "a message is shown before it was sent",
    mutate(history) {
      const welcomed = new Map(
        history.got.flatMap(({ frame, c, index }) => (frame.t === "welcome" ? [[c, index] as const] : [])),
      );
      const shown = shownToOthers(history).flatMap((one) => {
        const sent = sendOf(history, one.frame);
        return one.isLive && sent > (welcomed.get(one.c) ?? Infinity) ? [{ ...one, sent }] : [];
      });
      const { index, frame, c, sent } = history.any(shown);
      history.drop(index);
      history.insert(sent, history.in(c, frame));
    },
  },
  {
    guarantee: "G5",
    name: "a message is shown with another text",
    mutate(history) {
      const { frame } = history.any(shownToOthers(history));
      frame["text"] = "changed on the way";
    },
  },
  {
    guarantee: "G5",
    name: "a message is shown that nobody sent",
    mutate(history) {
      const last = history.any(tails(history).filter(({ log }) => log?.startsWith("@")));
      const from = last.user === "user0" ? "user1" : "user0";
      const frame = {
        t: "message",
        id: "phantom",
        conversation: `@${from}`,
        from,
        text: "boo",
        seq: last.seq + 1,
        sentAt: 1,
      };
      history.insert(history.lines.length - 1, history.in(last.c, frame));
    },
  },
  {
    guarantee: "G5",
    name: "a message is shown whose send was refused",
    mutate(history) {
      const acks = history.got.filter(({ frame }) => frame.t === "sent" && frame["duplicate"] === undefined);
      const { index, c, frame, user } = history.any(
        acks.filter(
          ({ frame, user }) =>
            String(frame["conversation"]).startsWith("@") &&
            frame["conversation"] !== `@${user}` &&
            timesSent(history, frame["ref"]) === 1,
        ),
      );
      history.lines[index] = history.in(c, { t: "error", ref: frame["ref"], code: "blocked", detail: "" });
      history.sift((reader, { id }) => id !== frame["id"] || reader !== user);
    },
  },
  {
    guarantee: "G5",
    name: "what was shown is gone on the next connection",
    mutate(history) {
      const { frame, shown } = history.any(
        welcomes(history)
          .map(({ frame, user, hello }) => ({
            frame,
            shown: shownThrough(history, user, hello),
            acked: ackedThrough(history, user, hello),
          }))
          .filter(({ shown, acked }) => shown > acked),
      );
      frame["timeline"] = shown - 1;
    },
  },
];
