/** Codecs of what the home of a user reads elsewhere. */
import type { WireMessage } from "../../../protocol/frames.ts";
import type { HistoryPage } from "../../../protocol/http-shapes.ts";
import type { Viewer } from "../../authorization.ts";
import type {
  Cost,
  GroupEntriesAnswer,
  GroupEntriesQuestion,
  GroupPageAnswer,
  GroupPageQuestion,
  GroupRankAnswer,
  GroupRankQuestion,
  GroupStanding,
  GroupStandingQuestion,
  GroupViewAnswer,
  GroupViewQuestion,
  ProfileAnswer,
  ProfileQuestion,
} from "../reads.ts";
import { bool, fields, list, optional } from "./codec.ts";
import { groupAddress, json, number, seq, text, userAddress, userId } from "./values.ts";

export const viewer = fields<Viewer>({ user: userId, knownThrough: seq, joinedSeq: seq });
const cost = fields<Cost>({ bytes: number, looked: number });

export const groupPageQuestion = fields<GroupPageQuestion>({
  group: groupAddress,
  viewer,
  before: optional(number),
  after: optional(number),
  limit: number,
});
export const groupPageAnswer = fields<GroupPageAnswer>({ page: json<HistoryPage>(), cost });

export const groupEntriesQuestion = fields<GroupEntriesQuestion>({
  group: groupAddress,
  viewer,
  after: seq,
  limit: number,
  charactersMax: number,
});
export const groupEntriesAnswer = fields<GroupEntriesAnswer>({
  epoch: text,
  frames: list(text),
  from: seq,
  through: seq,
  headSeq: seq,
});

export const groupViewQuestion = fields<GroupViewQuestion>({
  group: groupAddress,
  viewer,
  read: seq,
  messages: number,
  bytes: number,
});
export const groupViewAnswer = fields<GroupViewAnswer>({
  name: text,
  unread: number,
  headSeq: seq,
  seen: number,
  delivered: number,
  messages: json<WireMessage[]>(),
  cost,
});

export const groupRankQuestion = fields<GroupRankQuestion>({ group: groupAddress, viewer, rank: number });
export const groupRankAnswer = fields<GroupRankAnswer>({ rank: number, looked: number });

export const groupStandingQuestion = fields<GroupStandingQuestion>({ group: groupAddress, isWhole: bool });
export const groupStandingAnswer = fields<GroupStanding>({
  epoch: text,
  bornSeq: seq,
  headSeq: seq,
  whole: optional(fields({ lastRank: number, memberCount: number })),
});

export const profileQuestion = fields<ProfileQuestion>({ user: userAddress });
export const profileAnswer = fields<ProfileAnswer>({ displayName: text });
