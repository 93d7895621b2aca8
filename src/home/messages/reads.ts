/**
 * Questions and answers by which the home of a user reads a group, or the profile of another user. Answers end by
 * bytes, and tell what was looked at for them.
 */
import type { GroupAddress, UserAddress } from "../../domain/address.ts";
import type { WireMessage } from "../../protocol/frames.ts";
import type { HistoryPage } from "../../protocol/http-shapes.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Viewer } from "../authorization.ts";

/** The cost of an answer or a part of one (reading/answer-size.ts). */
export type Cost = { readonly bytes: number; readonly looked: number };

/** Messages of a group, before or after a seq; without both, the newest. */
export type GroupPageQuestion = {
  readonly group: GroupAddress;
  readonly viewer: Viewer;
  readonly before: number | undefined;
  readonly after: number | undefined;
  readonly limit: number;
};
export type GroupPageAnswer = { readonly page: HistoryPage; readonly cost: Cost };

/**
 * Entries of a group's log as frames, in their order: as many as one step has time for, and at least one if there are
 * any.
 */
export type GroupEntriesQuestion = {
  readonly group: GroupAddress;
  readonly viewer: Viewer;
  readonly after: Seq;
  readonly limit: number;
  /** Of all frames together; the last one may exceed it. */
  readonly charactersMax: number;
};
export type GroupEntriesAnswer = {
  /** Of the life of the group that the frames belong to. */
  readonly epoch: string;
  /** Without a hole, from behind `from` through `through`. */
  readonly frames: readonly string[];
  /** At least the end of the former life. */
  readonly from: Seq;
  readonly through: Seq;
  readonly headSeq: Seq;
};

/** A group as one of its members sees it in the list of conversations. */
export type GroupViewQuestion = {
  readonly group: GroupAddress;
  readonly viewer: Viewer;
  /** How far the member has read, or where they joined, if that is later. */
  readonly read: Seq;
  /** How many of the newest messages. */
  readonly messages: number;
  /** Of the answer that it becomes a part of, so far. */
  readonly bytes: number;
};
export type GroupViewAnswer = {
  readonly name: string;
  readonly unread: number;
  readonly headSeq: Seq;
  /** The highest marks of the other members. */
  readonly seen: number;
  readonly delivered: number;
  readonly messages: WireMessage[];
  readonly cost: Cost;
};

/** Rank of a group's newest entry that is not above `rank`; 0 if its present life has none. */
export type GroupRankQuestion = { readonly group: GroupAddress; readonly viewer: Viewer; readonly rank: number };
export type GroupRankAnswer = { readonly rank: number; readonly looked: number };

export type ProfileQuestion = { readonly user: UserAddress };
export type ProfileAnswer = { readonly displayName: string };

/**
 * The standing of a group. After it the asking node gets casts of the group's entries for a while
 * (mirrors/followed-mirrors.ts).
 */
export type GroupStandingQuestion = {
  readonly group: GroupAddress;
  /** Whether to load the group if needed, and answer with `whole`. */
  readonly isWhole: boolean;
};
export type GroupStanding = {
  /** Of its present life. */
  readonly epoch: string;
  readonly bornSeq: Seq;
  readonly headSeq: Seq;
  readonly whole: { readonly lastRank: number; readonly memberCount: number } | undefined;
};
