/**
 * Asks: what one shard wants to know from another, or wants it to do, with a reply. The list is closed: a kind has its question and its answer here, and a function that
 * answers it at the shard in asks/.
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

/** What somebody wants changed in a group. What they may is decided at the group's shard. */
export type GroupWish =
  /** What is undefined stays. `keepDays` 0: as the server has it. */
  | { readonly kind: "settings"; readonly name?: string | undefined; readonly keepDays?: number | undefined }
  | { readonly kind: "dissolve" }
  /** Adds a member, or sets a member's role. */
  | { readonly kind: "putMember"; readonly user: UserId; readonly role: GroupRole }
  | { readonly kind: "removeMember"; readonly user: UserId }
  /** Who asks has left, and is in it again, as a member. */
  | { readonly kind: "comeBack" };

/** What has become of a change. */
export type GroupChanged = {
  /** Messages are kept for another number of days now. */
  readonly isKeptAnew: boolean;
  /** Somebody is in it who was not. */
  readonly isAdded: boolean;
};

export type Questions = {
  /** What was posted there? */
  posted: { readonly group: GroupAddress; readonly seq: Seq };
  /** Is there such a user? */
  user: { readonly user: UserAddress };
  groupEntries: GroupEntriesQuestion;
  groupPage: GroupPageQuestion;
  groupRankAsOf: GroupRankQuestion;
  groupStanding: GroupStandingQuestion;
  groupView: GroupViewQuestion;
  /** What does a user say of themselves? Nothing is loaded for it. */
  profile: ProfileQuestion;
  /** Through which seq does the log of the group go, with what is on its way to the disk? */
  groupEnd: { readonly group: GroupAddress };
  /** How many bytes of text does the author have in the group's log? Counts them, where nobody has. */
  postedBytes: { readonly group: GroupAddress; readonly author: UserId };
  /** Are the files of the node that the stream is on rid of all that was erased? If not, the node is to see to that. */
  erasedFromFiles: { readonly stream: Address };
  /** Erases a part of what a user wrote in one stream. */
  eraseContent: ContentToErase;
  /** How does the group look to this member? */
  group: { readonly group: GroupAddress; readonly viewer: Viewer };
  /** Begin a group. `epoch` is drawn at random for each call, and is its name (answered-calls.ts). `members`: each once, `by` among them. */
  createGroup: {
    readonly group: GroupAddress;
    readonly epoch: string;
    readonly by: UserId;
    readonly name: string;
    readonly members: readonly UserId[];
  };
  /** Change a group. `call`: its name, drawn at random. */
  changeGroup: {
    readonly group: GroupAddress;
    readonly call: string;
    readonly by: Viewer;
    readonly wish: GroupWish;
  };
  /** May this user be put into the group, as far as their own shard knows? `isOwnDoing`: they ask for it themselves. */
  mayJoin: { readonly user: UserId; readonly group: GroupAddress; readonly isOwnDoing: boolean };
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
  /** Undefined when there is no such group, or its data cannot be read. */
  groupStanding: GroupStanding | undefined;
  groupView: GroupViewAnswer;
  /** Undefined when there is no such user. */
  profile: ProfileAnswer | undefined;
  /** Undefined when there is no such group. */
  groupEnd: { readonly through: Seq } | undefined;
  /** As of the entry `through`; undefined when there is no such group. */
  postedBytes: { readonly bytes: number; readonly through: Seq } | undefined;
  erasedFromFiles: { readonly isGone: boolean };
  eraseContent: ContentErased;
  group: Group;
  createGroup: Group;
  /** The change is durable. `group`: of settings alone. */
  changeGroup: GroupChanged & { readonly group?: Group | undefined };
  /** What the user's timeline says last of the group, in the group's numbering; 0: nothing. */
  mayJoin: { readonly knownThrough: Seq };
};
