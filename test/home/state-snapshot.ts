/**
 * A picture of what a state says, field by field: every field of its class, but those that are listed here with a
 * reason. So a new field is compared before anybody thinks of it.
 */
import { ConversationState } from "../../src/home/state/conversation-state.ts";
import { Conversations } from "../../src/home/state/conversations.ts";
import type { AuthorBytes } from "../../src/home/fold/author-bytes.ts";
import type { GroupState, MemberMarks } from "../../src/home/state/group-state.ts";
import type { UserState } from "../../src/home/state/user-state.ts";

type Reasons<State> = Partial<Record<keyof State, string>>;

const user: Reasons<UserState> = {
  log: "where it lives",
  handle: "where it lives",
  heldBytes: "estimated memory",
  sessions: "who is connected",
  recentRefs: "saves look-ups of refs; the log has all of them",
  undelivered: "saves reading; a load leaves messages to be read from the log",
  posted: "numbers of other logs, asked for when they are needed",
  addUpAgainAt: "when that sum is tried again",
  erasures: "rises while it is loaded, so that a count under way notices",
  erasing: "who waits for whom",
  erasureEndedMs: "of the clock of this process",
  sendTokens: "of the clock of this process",
  sendTokensAt: "of the clock of this process",
  sendRefusedUntil: "of the clock of this process",
  fanOut: "of the clock of this process",
  quotaRefusedUntil: "of the clock of this process",
  refusedFor: "of the clock of this process",
  isDirty: "what a flush has to write",
};

const conversation: Reasons<ConversationState> = {
  got: "the device says it again when it comes back",
  confirmedThrough: "the receiver's shard says it again",
  groupLife: "the group's shard says it again",
  early: "messages that wait for an earlier one; the sender's shard offers them again",
  offer: "what was said since it was loaded; the device says it again when it comes back",
  postedRefValue: "encoded once, from what is durable",
  isDirty: "what a flush has to write",
};

const group: Reasons<GroupState> = {
  log: "where it lives",
  handle: "where it lives",
  heldBytes: "estimated memory",
  erasures: "rises while it is loaded, so that a count under way notices",
  membershipChanges: "rises while it is loaded, so that a list of its members' sessions notices",
  erasing: "who waits for whom",
  life: "drawn when it is loaded",
  authorPosts: "posts that came since it was loaded",
  isDirty: "what a flush has to write",
};

/** Each says what is numbered and not yet durable: the same as what is durable, or nothing, when nothing is on its way. */
const ON_THE_WAY = new Set<string>([
  "nextSeq",
  "pendingSends",
  "waitingSends",
  "lastPost",
  "bytesOnTheWay",
  "receivedPending",
  "receivedAppended",
  "markCountPending",
  "rankPending",
  "pendingMarks",
  "sentPending",
  "takenThroughPending",
  "incomingPending",
  "isPutInPending",
  "askedPending",
  "deliveredPending",
  "seenPending",
  "peerMark",
  "readMark",
  "gathered",
  "ownReadPending",
  "incomingReadPending",
  "isEnding",
  "leaving",
  "changesUnderWay",
]);

/** By class. Fields that only the class itself sees cannot be compared: each has a reason here. */
export const LEFT_OUT: Record<string, Record<string, string>> = {
  UserState: user,
  ConversationState: conversation,
  GroupState: group,
  AuthorBytes: {} satisfies Reasons<AuthorBytes>,
};

export const PRIVATE: Record<string, Record<string, string>> = {
  UserState: {
    dirtyConversations: "what a flush has to write",
    cellsThrough: "when derived cells were written last",
    endLoad: "no field",
    writeDerivedCells: "no field",
  },
  ConversationState: {
    shard: "follows from the address",
    peer: "follows from the address",
    deliveredKey: "follows from the address",
  },
  GroupState: {
    dirtyMembers: "what a flush has to write",
    cellsThrough: "when derived cells were written last",
    endLoad: "no field",
    writeDerivedCells: "no field",
  },
  AuthorBytes: { dirty: "what a flush has to write", add: "no field" },
};

/** @param atRest whether nothing is on its way: then what is pending is compared as well */
export function snapshot(value: unknown, atRest: boolean): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => snapshot(one, atRest));
  if (value instanceof Set) return [...value].map(String).toSorted();
  if (value instanceof Conversations)
    return snapshot(new Map([...value.values()].map((one) => [one.address, one])), atRest);
  if (value instanceof Map) {
    const saying = [...value].filter(([, one]) => !isSilent(one));
    return Object.fromEntries(saying.map(([key, one]) => [key, snapshot(one, atRest)]));
  }
  const leftOut = LEFT_OUT[value.constructor.name];
  const shown = Object.entries(value).filter(
    ([field]) => leftOut?.[field] === undefined && (atRest || !ON_THE_WAY.has(field)),
  );
  return Object.fromEntries(shown.map(([field, one]) => [field, snapshot(one, atRest)]));
}

/** Made to be asked, or for what is on its way: it says what would be said if it were not there. */
function isSilent(one: unknown): boolean {
  if (one instanceof ConversationState)
    return Bun.deepEquals(durable(one), durable(new ConversationState(one.address)));
  const { delivered, seen } = one as Partial<MemberMarks>;
  return delivered === 0 && seen === 0;
}

const durable = (conversation: ConversationState): unknown => snapshot(conversation, false);
