/** The function that answers each ask, at the shard that is asked. */
import type { Steps } from "../../base/steps.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";
import { answerGroupEntries } from "./answer-group-entries.ts";
import { answerGroupPage } from "./answer-group-page.ts";
import { answerGroupRank } from "./answer-group-rank.ts";
import { answerGroupStanding } from "./answer-group-standing.ts";
import { answerGroupView } from "./answer-group-view.ts";
import { eraseContent } from "../erasing/erase-content.ts";
import { answerPostedBytes } from "../sending/stored-counts.ts";
import { answerErasedFromFiles } from "./answer-erased-from-files.ts";
import { answerGroupEnd } from "./answer-group-end.ts";
import { answerChangeGroup } from "./answer-change-group.ts";
import { answerCreateGroup } from "./answer-create-group.ts";
import { answerGroup } from "./answer-group.ts";
import { answerMayJoin } from "./answer-may-join.ts";
import { answerPosted } from "./answer-posted.ts";
import { answerProfile } from "./answer-profile.ts";
import { answerUser } from "./answer-user.ts";

export type Answerers = {
  readonly [Kind in keyof Questions]: (shard: Shard, question: Questions[Kind]) => Steps<Answers[Kind]>;
};

export const ANSWERERS: Answerers = {
  groupEntries: answerGroupEntries,
  groupPage: answerGroupPage,
  groupRankAsOf: answerGroupRank,
  groupStanding: answerGroupStanding,
  groupView: answerGroupView,
  eraseContent,
  erasedFromFiles: answerErasedFromFiles,
  groupEnd: answerGroupEnd,
  posted: answerPosted,
  postedBytes: answerPostedBytes,
  profile: answerProfile,
  user: answerUser,
  group: answerGroup,
  createGroup: answerCreateGroup,
  changeGroup: answerChangeGroup,
  mayJoin: answerMayJoin,
};
