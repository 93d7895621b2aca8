/**
 * The frames of protocol version 1, as types. Names and shapes follow docs/protocol.md; nothing here validates.
 * Imported by servers and by the SDK, so it depends on nothing.
 */

/** `@alice` (a user) or `#ubuntu` (a group), as sent over the wire. */
export type WireAddress = string;

/** What a device has of one stream: everything up to `seq` of the history named by `epoch`. */
export type StreamPosition = { epoch: string; seq: number };

/**
 * What a device has. `timeline: 0` is valid under every epoch: an empty position cannot be out of date. `marks` counts
 * the receipts that arrived; without it no missed receipts are replayed on resume.
 */
export type Cursor = {
  epoch: string;
  timeline: number;
  groups: Record<WireAddress, StreamPosition>;
  marks?: number;
};

/**
 * A message as a client gets it. `ref` is there only on the author's own devices. An erased message keeps its place:
 * `from` is empty, `sentAt` is 0, there is no text, and `deletedAt` is when something of this log was last erased.
 */
export type WireMessage = {
  id: string;
  conversation: WireAddress;
  from: string;
  text?: string;
  seq: number;
  sentAt: number;
  ref?: string;
  editedAt?: number;
  deletedAt?: number;
};

export type Limits = {
  /** Largest WebSocket frame and HTTP body, bytes of UTF-8. */
  frameBytesMax: number;
  /** Largest `text` of a message, bytes of UTF-8. */
  textBytesMax: number;
  /** Members a group may have. */
  groupMembersMax: number;
  /** Groups up to this size get delivered and read receipts. */
  groupReceiptsMembersMax: number;
  /** Sustained sends a second per user, and how many may come at once. */
  sendsPerSecond: number;
  sendsBurst: number;
  /** Entries of one stream that a resume streams; beyond it comes `gap`. */
  resumeEntriesMax: number;
  /** Days that messages are kept on this server; absent: for ever. */
  keepDays?: number;
  /** Bytes of text that a user may have written and not erased; absent: no bound. */
  storedBytesMax?: number;
};

// ---- client to server

export type HelloFrame = { t: "hello"; token: string; cursor?: Cursor };
export type SendFrame = { t: "send"; ref: string; to: WireAddress; text: string; retry?: boolean };
export type ReceivedFrame = { t: "received"; conversation?: WireAddress; seq: number };
export type ReadFrame = { t: "read"; conversation: WireAddress; seq: number };
export type PingFrame = { t: "ping" };
/** Accepted, and not yet passed on. */
export type TypingFrame = { t: "typing" };

export type ClientFrame = HelloFrame | SendFrame | ReceivedFrame | ReadFrame | PingFrame | TypingFrame;

// ---- server to client

export type WelcomeFrame = {
  t: "welcome";
  user: string;
  device: string;
  node: string;
  epoch: string;
  /** Head of the timeline; 0 when empty. */
  timeline: number;
  groups: Record<WireAddress, StreamPosition>;
  /** Head of the receipts counter, see `Cursor.marks`. */
  marks: number;
  heartbeatMs: number;
  limits: Limits;
};
export type LiveFrame = { t: "live" };
export type ResetFrame = { t: "reset"; conversation?: WireAddress };
/**
 * Entries `from`..`to` (inclusive) of the timeline, or of a group, are not streamed; page them with `GET /v1/entries`.
 */
export type GapFrame = { t: "gap"; conversation?: WireAddress; from: number; to: number };
export type SentFrame = {
  t: "sent";
  ref: string;
  id: string;
  conversation: WireAddress;
  seq: number;
  sentAt: number;
  duplicate?: true;
  /** With `duplicate`: the message was erased since, and `sentAt` is 0. */
  deletedAt?: number;
};
export type ErrorFrame = { t: "error"; ref?: string; code: string; detail: string; retryAfterMs?: number };
export type MessageFrame = { t: "message" } & WireMessage;
export type ReceiptKind = "delivered" | "read";
export type ReceiptFrame = {
  t: "receipt";
  kind: ReceiptKind;
  conversation: WireAddress;
  by: string;
  seq: number;
  /** Position of this receipt in the user's receipts counter, see `Cursor.marks`; absent for groups. */
  mark?: number;
};
export type MembershipFrame = {
  t: "membership";
  seq: number;
  conversation: WireAddress;
  change: "joined" | "left";
  /**
   * Where in the group's log it happened, and the epoch of that log: a device that knew nothing of the group starts at
   * `groupSeq - 1`.
   */
  groupSeq: number;
  epoch: string;
};
export type GroupChange = "created" | "joined" | "left" | "renamed" | "role" | "retention" | "dissolved";
export type GroupRole = "admin" | "member";
export type GroupFrame = {
  t: "group";
  conversation: WireAddress;
  seq: number;
  change: GroupChange;
  /**
   * created: the group's epoch. A device that has another epoch for this group has an earlier group with the same id.
   */
  epoch?: string;
  by: string;
  at: number;
  /** joined, left, role: whom it concerns. */
  user?: string;
  /** created, renamed. */
  name?: string;
  /** role, joined. */
  role?: GroupRole;
  /** created: all first members. */
  members?: string[];
  /** retention: days that messages are kept; null: the server's default. */
  keepDays?: number | null;
};
export type PongFrame = { t: "pong" };
export type ByeFrame = { t: "bye"; code: number; reason: string; url?: string; afterMs?: number };

/** Frames that represent one entry of a stream and carry its seq. */
export type EntryFrame = MessageFrame | MembershipFrame | GroupFrame;

export type ServerFrame =
  | WelcomeFrame
  | LiveFrame
  | ResetFrame
  | GapFrame
  | SentFrame
  | ErrorFrame
  | EntryFrame
  | ReceiptFrame
  | PongFrame
  | ByeFrame;
