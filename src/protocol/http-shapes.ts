/** Bodies of the HTTP calls of protocol version 1, as types (the schemas that validate them live in src/edge/http). */
import type { Cursor, ServerFrame, StreamPosition, WireAddress, WireMessage, GroupRole } from "./frames.ts";
import type { ErrorCode } from "./codes.ts";

export type Problem = {
  type: string;
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
  retryAfterMs?: number;
};

export type Credentials = { user: string; device: string; token: string };

/** `POST /v1/sync`: at most one page of frames; `more` says that another call would answer at once. */
export type SyncReply = { frames: ServerFrame[]; cursor: Cursor; more: boolean };

/**
 * `GET /v1/conversations/{address}/messages`: oldest first; `before`/`after` are the seqs to page on with, absent at
 * the end.
 */
export type HistoryPage = { messages: WireMessage[]; before?: number; after?: number };

/**
 * `GET /v1/entries?conversation=&after=&limit=`: entries of my timeline (or of a group) as frames, in order; `after`
 * pages on.
 */
export type EntriesPage = { frames: ServerFrame[]; after: number; more: boolean };

export type Conversation = {
  conversation: WireAddress;
  /** Display name of the other side. */
  name: string;
  /** Messages of others after `ownReadThrough`. */
  unread: number;
  lastSeq: number;
  /** Seq in my numbering up to which the other side has read. In a group: the highest of any other member. */
  readThrough: number;
  /** Seq in my numbering up to which the other side's devices have got my messages. */
  deliveredThrough: number;
  /** Seq up to which I have read. */
  ownReadThrough: number;
  /** The newest messages, oldest first. */
  messages: WireMessage[];
};

/** `before` pages on; absent at the end. */
export type ConversationsPage = { conversations: Conversation[]; before?: string };

export type GroupMember = { user: string; role: GroupRole };
export type Group = {
  id: string;
  name: string;
  createdAt: number;
  head: StreamPosition;
  members: GroupMember[];
  /** Days that messages are kept; absent: the server's default. */
  keepDays?: number;
};

/**
 * State of the erasure of a user's content. `done` when no file of the server has it any more. Times in Unix
 * milliseconds.
 */
export type ErasureStatus =
  | { state: "none" }
  | { state: "running"; requestedAt: number; entries: number }
  | { state: "done"; requestedAt: number; finishedAt: number; entries: number };

export type Route = { shard: number; node: string; url: string };
