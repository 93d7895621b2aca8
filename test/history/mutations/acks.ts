/** G1 and G2: acks that are not kept, and refs that are two messages. */
import {
  ackedThrough,
  answers,
  doubled,
  framesIn,
  isAcked,
  messagesIn,
  noCandidate,
  refOf,
  repeats,
  welcomes,
} from "./choices.ts";
import type { Mutation } from "./mutation.ts";

export const ACKS: Mutation[] = [
  {
    guarantee: "G1",
    name: "a page of history lacks a message that was acked before",
    mutate(history) {
      const pages = answers(history, "GET", "/messages?").flatMap((page) =>
        messagesIn(page.body)
          .slice(1)
          .filter(({ seq, conversation }) => isAcked(history, page, conversation, seq))
          .map((message) => ({ page, message })),
      );
      const { page, message } = history.any(pages);
      page.body["messages"] = messagesIn(page.body).filter((one) => one !== message);
    },
  },
  {
    guarantee: "G1",
    name: "a page of entries ends before what was acked",
    mutate(history) {
      const pages = answers(history, "GET", "/v1/entries").filter(
        ({ call, body, callIndex }) =>
          !call.path.includes("conversation=") &&
          body["more"] === false &&
          framesIn(body).some(({ seq }) => ackedThrough(history, call.user, callIndex) >= Number(seq)),
      );
      history.any(pages).body["frames"] = [];
    },
  },
  {
    guarantee: "G1",
    name: "welcome says that the timeline ends before what was acked",
    mutate(history) {
      const { frame, acked } = history.any(
        welcomes(history)
          .map(({ frame, user, hello }) => ({ frame, acked: ackedThrough(history, user, hello) }))
          .filter(({ acked }) => acked > 0),
      );
      frame["timeline"] = acked - 1;
    },
  },
  {
    guarantee: "G2",
    name: "a retry is acked with another id",
    mutate: (history) => void (history.any(repeats(history)).body["id"] = "another"),
  },
  {
    guarantee: "G2",
    name: "a retry is acked with another seq",
    mutate: (history) => void ((history.any(repeats(history)).body["seq"] as number) += 1000),
  },
  {
    guarantee: "G2",
    name: "a retry is acked as if it were new",
    mutate: (history) => void delete history.any(repeats(history)).body["duplicate"],
  },
  {
    guarantee: "G2",
    name: "a ref is acked with another text",
    mutate(history) {
      const conflict = history.any(
        answers(history, "POST", "/v1/messages").filter(({ body }) => body["code"] === "ref_conflict"),
      );
      const first = answers(history, "POST", "/v1/messages").find(
        ({ call, answer }) =>
          refOf(call) === refOf(conflict.call) && call.user === conflict.call.user && answer.status < 300,
      );
      Object.assign(conflict.answer, { status: 200, body: { ...(first ?? noCandidate()).body, duplicate: true } });
    },
  },
  {
    guarantee: "G2",
    name: "a message is in the author's timeline twice",
    mutate: (history) => doubled(history, (message, user) => message["from"] === user),
  },
];
