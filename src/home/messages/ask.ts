/**
 * Asks: what one shard wants to know from another, or wants it to do, with a reply. The list is closed: each kind has
 * its question and its answer here, and a function in asks/ that answers it.
 */
import type { Address, GroupAddress, UserAddress, UserId } from "../../domain/address.ts";
import type { GroupRole } from "../../protocol/frames.ts";
import type { Group } from "../../protocol/http-shapes.ts";
import type { Seq } from "../../../storage/types.ts";
import type { ContentErased, ContentToErase } from "./erasing.ts";
import type { Viewer } from "../authorization.ts";
import type { Posted } from "./post.ts";
import type {
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
} from "./reads.ts";

/** A change of a group that a user wants. The group's shard decides whether the user may. */
export type GroupWish =
  /** Undefined fields stay unchanged. `keepDays` 0: the server's value. */
  | { readonly kind: "settings"; readonly name?: string | undefined; readonly keepDays?: number | undefined }
  | { readonly kind: "dissolve" }
  /** Adds a member, or sets a member's role. */
  | { readonly kind: "putMember"; readonly user: UserId; readonly role: GroupRole }
  | { readonly kind: "removeMember"; readonly user: UserId }
  /** The caller has left, and becomes a member again. */
  | { readonly kind: "comeBack" };

/** The result of a change. */
export type GroupChanged = {
  /** Whether the number of days that messages are kept has changed. */
  readonly isKeptAnew: boolean;
  /** Whether a user was added. */
  readonly isAdded: boolean;
};

export type Questions = {
  /** What was posted at this seq? */
  posted: { readonly group: GroupAddress; readonly seq: Seq };
  /** Is there such a user? */
  user: { readonly user: UserAddress };
  groupEntries: GroupEntriesQuestion;
  groupPage: GroupPageQuestion;
  groupRankAsOf: GroupRankQuestion;
  groupStanding: GroupStandingQuestion;
  groupView: GroupViewQuestion;
  /** The profile of a user. Nothing is loaded for it. */
  profile: ProfileQuestion;
  /** The last seq of the group's log, including entries on their way to the disk. */
  groupEnd: { readonly group: GroupAddress };
  /** How many bytes of text does the author have in the group's log? Counts them if they are not counted yet. */
  postedBytes: { readonly group: GroupAddress; readonly author: UserId };
  /** Are the files of the stream's node rid of everything erased? If not, the node empties them. */
  erasedFromFiles: { readonly stream: Address };
  /** Erases a part of what a user wrote in one stream. */
  eraseContent: ContentToErase;
  /** The group as this member sees it. */
  group: { readonly group: GroupAddress; readonly viewer: Viewer };
  /**
   * Begins a group. `epoch`: drawn at random for each call, and the name of the call (answered-calls.ts). `members`:
   * each once, including `by`.
   */
  createGroup: {
    readonly group: GroupAddress;
    readonly epoch: string;
    readonly by: UserId;
    readonly name: string;
    readonly members: readonly UserId[];
  };
  /** Changes a group. `call`: its name, drawn at random. */
  changeGroup: {
    readonly group: GroupAddress;
    readonly call: string;
    readonly by: Viewer;
    readonly wish: GroupWish;
  };
  /** May this user be added to the group, as far as the user's shard knows? `isOwnDoing`: the user asks for it. */
  mayJoin: { readonly user: UserId; readonly group: GroupAddress; readonly isOwnDoing: boolean };
};

export type Answers = {
  /** Undefined if there is no post at that seq. */
  posted: Posted | undefined;
  /** Undefined if there is no such user. */
  user: { readonly displayName: string } | undefined;
  /** @throws AppError unknown_address or not_a_member, as the next two and `groupView` */
  groupEntries: GroupEntriesAnswer;
  groupPage: GroupPageAnswer;
  groupRankAsOf: GroupRankAnswer;
  /** Undefined if there is no such group, or its data cannot be read. */
  groupStanding: GroupStanding | undefined;
  groupView: GroupViewAnswer;
  /** Undefined if there is no such user. */
  profile: ProfileAnswer | undefined;
  /** Undefined if there is no such group. */
  groupEnd: { readonly through: Seq } | undefined;
  /** As of the entry `through`; undefined if there is no such group. */
  postedBytes: { readonly bytes: number; readonly through: Seq } | undefined;
  erasedFromFiles: { readonly isGone: boolean };
  eraseContent: ContentErased;
  group: Group;
  createGroup: Group;
  /** The change is durable. `group`: only for `settings`. */
  changeGroup: GroupChanged & { readonly group?: Group | undefined };
  /** Seq of the last change of the group in the user's timeline, in the group's numbering; 0: none. */
  mayJoin: { readonly knownThrough: Seq };
};
