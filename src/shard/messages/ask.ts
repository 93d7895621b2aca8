/**
 * Asks: what one shard wants to know from another, or wants it to do, with a reply. The list is closed: a kind has its question and its answer here, and a function that
 * answers it at the shard in asks/.
 */
import type { GroupAddress, UserAddress } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ContentErased, ContentToErase } from "./erasing.ts";
import type { Posted } from "./post.ts";
import type {
  GroupEntriesAnswer,
  GroupEntriesQuestion,
  GroupPageAnswer,
  GroupPageQuestion,
  GroupRankAnswer,
  GroupRankQuestion,
  GroupViewAnswer,
  GroupViewQuestion,
  ProfileAnswer,
  ProfileQuestion,
} from "./reads.ts";

export type Questions = {
  /** What was posted there? */
  posted: { readonly group: GroupAddress; readonly seq: Seq };
  /** Is there such a user? */
  user: { readonly user: UserAddress };
  groupEntries: GroupEntriesQuestion;
  groupPage: GroupPageQuestion;
  groupRankAsOf: GroupRankQuestion;
  groupView: GroupViewQuestion;
  /** What does a user say of themselves? Nothing is loaded for it. */
  profile: ProfileQuestion;
  /** Through which seq does the log of the group go, with what is on its way to the disk? */
  groupEnd: { readonly group: GroupAddress };
  /** Erases a part of what a user wrote in one stream. */
  eraseContent: ContentToErase;
};

export type Answers = {
  /** Undefined when no post stands at that seq. */
  posted: Posted | undefined;
  /** Undefined when there is no such user. */
  user: { readonly displayName: string } | undefined;
  /** @throws AppError unknown_address or not_a_member, as the next three */
  groupEntries: GroupEntriesAnswer;
  groupPage: GroupPageAnswer;
  groupRankAsOf: GroupRankAnswer;
  groupView: GroupViewAnswer;
  /** Undefined when there is no such user. */
  profile: ProfileAnswer | undefined;
  /** Undefined when there is no such group. */
  groupEnd: { readonly through: Seq } | undefined;
  eraseContent: ContentErased;
};
