/** G6 and G7: receipts that are not true, and resumes with holes. */
import type { WireFrame } from "../../../scripts/history/format.ts";
import { answers, framesIn, replayed, tooEarly, welcomes } from "./choices.ts";
import type { Mutation } from "./mutation.ts";

export const TOLD: Mutation[] = [
  {
    guarantee: "G6",
    name: "delivered comes before the receiver has the message",
    mutate: (history) => tooEarly(history, "delivered"),
  },
  {
    guarantee: "G6",
    name: "read comes before the receiver has the message",
    mutate: (history) => tooEarly(history, "read"),
  },
  {
    guarantee: "G6",
    name: "a mark goes back",
    mutate(history) {
      const { index, c, frame } = history.any(history.got.filter(({ frame, seq }) => frame.t === "receipt" && seq > 1));
      const { mark: _, ...back } = { ...frame, seq: Number(frame["seq"]) - 1 } as WireFrame & { mark?: number };
      history.insert(index + 1, history.in(c, back));
    },
  },
  {
    guarantee: "G7",
    name: "a resume leaves an entry out",
    mutate: (history) => history.drop(history.any(replayed(history).filter(({ log }) => log?.startsWith("@"))).index),
  },
  {
    guarantee: "G7",
    name: "a resume is live before everything came",
    mutate(history) {
      const { c } = history.any(replayed(history).filter(({ log }) => log?.startsWith("@")));
      history.drop(
        ...replayed(history)
          .filter((one) => one.c === c)
          .map(({ index }) => index),
      );
    },
  },
  {
    guarantee: "G7",
    name: "the epoch has changed, and no reset comes",
    mutate(history) {
      const { frame } = history.any(welcomes(history).filter(({ cursor }) => Number(cursor["timeline"]) > 0));
      frame["epoch"] = "another";
    },
  },
  {
    guarantee: "G7",
    name: "a reply of long poll leaves an entry out",
    mutate(history) {
      const { body, frame } = history.any(
        answers(history, "POST", "/v1/sync").flatMap(({ body }) =>
          framesIn(body)
            .filter(({ t }) => t === "message")
            .map((frame) => ({ body, frame })),
        ),
      );
      body["frames"] = framesIn(body).filter((one) => one !== frame);
    },
  },
];
