/** G3 and G4: logs with holes, and in two orders. */
import { isInMiddle, neighbours, pairsOfAcks, unseen } from "./choices.ts";
import type { Mutation } from "./mutation.ts";

export const ORDER: Mutation[] = [
  {
    guarantee: "G3",
    name: "a group's log has a seq that nobody ever gets",
    mutate: (history) => unseen(history, history.any(history.entries.filter(isInMiddle("#")))),
  },
  {
    guarantee: "G3",
    name: "a timeline has a seq that nobody ever gets",
    mutate: (history) => unseen(history, history.any(history.entries.filter(isInMiddle("@")))),
  },
  {
    guarantee: "G4",
    name: "two devices have two entries in two orders",
    mutate(history) {
      const [one, other] = history.any(neighbours(history));
      for (const field of ["id", "text", "from", "ref"])
        [one.frame[field], other.frame[field]] = [other.frame[field], one.frame[field]];
    },
  },
  {
    guarantee: "G4",
    name: "an entry comes behind a later one",
    mutate(history) {
      const [one, other] = history.any(neighbours(history));
      [history.lines[one.index], history.lines[other.index]] = [history.lines[other.index]!, history.lines[one.index]!];
    },
  },
  {
    guarantee: "G4",
    name: "an entry comes twice",
    mutate(history) {
      const { index } = history.any(history.entries.filter(({ isLive, frame }) => isLive && frame.t === "message"));
      history.insert(index + 1, structuredClone(history.lines[index]!));
    },
  },
  {
    guarantee: "G4",
    name: "of two sends in a row the later has the lower seq",
    mutate(history) {
      const [one, other] = history.any(pairsOfAcks(history));
      [one.frame["seq"], other.frame["seq"]] = [other.frame["seq"], one.frame["seq"]];
    },
  },
  {
    guarantee: "G4",
    name: "a new message has a seq below what its author has seen",
    mutate(history) {
      const acks = history.got.filter(
        ({ frame, seq }) => frame.t === "sent" && seq > 30 && frame["duplicate"] === undefined,
      );
      history.any(acks).frame["seq"] = 1;
    },
  },
];
