/**
 * What the edges (HTTP and sockets) may ask of the services. Every call that changes something resolves when the change is durable (G1), and
 * throws an `AppError` when it is refused. Arguments are already parsed: names are branded, sizes that a schema can check are checked.
 */
import type { Address, DeviceId, GroupAddress, GroupId, UserId } from "../domain/address.ts";
import type { Cursor, GroupRole, WireMessage } from "../protocol/frames.ts";
import type {
  Conversation,
  ConversationsPage,
  Credentials,
  EntriesPage,
  ErasureStatus,
  Group,
  HistoryPage,
  Route,
  SyncReply,
} from "../protocol/http-shapes.ts";

/** Who acts: a logged-in device of a user. */
export type Actor = { user: UserId; device: DeviceId };

export type Accounts = {
  /** `client`: from where, so that one address cannot take all turns at the passwords. */
  register(input: {
    user: UserId;
    password: string;
    displayName?: string;
    device?: DeviceId;
    client?: string;
  }): Promise<Credentials>;
  login(input: { user: UserId; password: string; device?: DeviceId; client?: string }): Promise<Credentials>;
  /** The token is dead everywhere, its sockets are closed with 4502. */
  logout(actor: Actor): Promise<void>;
  /** @throws AppError unauthorized for anything but a live token. */
  authenticate(token: string): Promise<Actor>;
  /** For operators with users of their own: no password. `created` is false when the user was there. */
  createUser(input: { user: UserId; displayName?: string }): Promise<{ created: boolean }>;
  createToken(input: { user: UserId; device?: DeviceId }): Promise<Credentials>;
};

export type ApiKeys = {
  /** @throws AppError unauthorized for an unknown or revoked key. */
  authenticate(key: string): Promise<{ keyId: string }>;
};

export type SendInput = { to: Address; text: string; ref: string; retry: boolean };

export type Messaging = {
  send(actor: Actor, input: SendInput): Promise<{ message: WireMessage; duplicate: boolean }>;
};

export type Groups = {
  create(actor: Actor, input: { id?: GroupId; name: string; members: UserId[] }): Promise<Group>;
  get(actor: Actor, group: GroupAddress): Promise<Group>;
  /** Admins only. `keepDays` null: as the server has it. What is absent stays. */
  change(actor: Actor, group: GroupAddress, change: { name?: string; keepDays?: number | null }): Promise<Group>;
  dissolve(actor: Actor, group: GroupAddress): Promise<void>;
  /** Adds a member or sets a member's role; admins only. */
  putMember(actor: Actor, group: GroupAddress, user: UserId, role: GroupRole): Promise<void>;
  /** Admins remove anybody; everybody may remove themselves. */
  removeMember(actor: Actor, group: GroupAddress, user: UserId): Promise<void>;
};

export type History = {
  page(
    actor: Actor,
    conversation: Address,
    input: { before?: number; after?: number; limit: number },
  ): Promise<HistoryPage>;
  conversations(actor: Actor, input: { limit: number; messages: number; before?: string }): Promise<ConversationsPage>;
  conversation(actor: Actor, conversation: Address, messages: number): Promise<Conversation>;
  /** Entries of the timeline, or of a group, as frames. */
  entries(actor: Actor, input: { conversation?: GroupAddress; after: number; limit: number }): Promise<EntriesPage>;
};

export type Sync = {
  /** Frames after `cursor`, waiting up to `waitMs` for the first; `signal` ends the wait when the caller is gone. */
  poll(actor: Actor, cursor: Cursor, waitMs: number, signal: AbortSignal): Promise<SyncReply>;
};

export type Directory = {
  route(address: Address): Route;
};

/** Erasing what users wrote, for good. */
export type Erasures = {
  /**
   * Notes the request durably, or finds one that is under way.
   * @throws AppError unknown_address; rate_limited for users who had it done just before
   */
  request(user: UserId, by: "user" | "operator"): Promise<ErasureStatus>;
  /** @throws AppError unknown_address */
  status(user: UserId): Promise<ErasureStatus>;
};

export type Health = {
  /** Undefined when ready; otherwise why not. */
  notReadyReason(): string | undefined;
  /** Shards that are unavailable since their data is damaged; the others are served. */
  damagedShards(): number;
};

/** What the HTTP edge is given. */
export type Services = {
  accounts: Accounts;
  apiKeys: ApiKeys;
  messaging: Messaging;
  groups: Groups;
  history: History;
  sync: Sync;
  erasures: Erasures;
  directory: Directory;
  health: Health;
};

// ---- what the account service itself needs from the user's home

/** At hand, or comes later. */
type Soon<Answer> = Answer | Promise<Answer>;

/** Small durable state of users, at their homes. Reads are of durable state only. */
export type UserCells = {
  /** Brings the user's state to memory, in its turn: what is asked then is cheap. Resolves with whether there is such a user. */
  load(user: UserId): Promise<boolean>;
  cell(user: UserId, key: string): Soon<Uint8Array | undefined>;
  /** Keys that begin with `prefix`. */
  cellsWithPrefix(user: UserId, prefix: string): Soon<ReadonlyMap<string, Uint8Array>>;
  /** Creates the user with these cells, at once. @throws AppError user_taken */
  create(user: UserId, cells: [key: string, value: Uint8Array][]): Promise<void>;
  /** Resolves when durable. A `null` clears. */
  write(user: UserId, cells: [key: string, value: Uint8Array | null][]): Promise<void>;
  /** Closes the sockets of a device, and of polls waiting for it. */
  closeSessions(user: UserId, device: DeviceId): void;
};
