/**
 * What the edges (HTTP and sockets) may call. Every call that changes something resolves when the change is durable
 * (G1), and throws an `AppError` if it is refused. Arguments are parsed already: names are branded, and sizes that a
 * schema can check are checked.
 */
import type { Later } from "../base/later.ts";
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

/** The caller: a logged-in device of a user. */
export type Actor = { user: UserId; device: DeviceId };

export type Accounts = {
  /** `client`: the address of the caller, so that one address cannot use all turns at the passwords. */
  register(input: {
    user: UserId;
    password: string;
    displayName?: string;
    device?: DeviceId;
    client?: string;
  }): Promise<Credentials>;
  login(input: { user: UserId; password: string; device?: DeviceId; client?: string }): Promise<Credentials>;
  /** The token is dead everywhere; the device's sockets are closed with 4502. */
  logout(actor: Actor): Promise<void>;
  /** @throws AppError unauthorized for anything but a live token */
  authenticate(token: string): Promise<Actor>;
  /** For operators who manage their users elsewhere: no password. `created` is false if the user existed. */
  createUser(input: { user: UserId; displayName?: string }): Promise<{ created: boolean }>;
  createToken(input: { user: UserId; device?: DeviceId }): Promise<Credentials>;
};

export type ApiKeys = {
  /** @throws AppError unauthorized for an unknown or revoked key */
  authenticate(key: string): Promise<{ keyId: string }>;
};

export type SendInput = { to: Address; text: string; ref: string; retry: boolean };

export type Messaging = {
  send(actor: Actor, input: SendInput): Promise<{ message: WireMessage; duplicate: boolean }>;
};

export type Groups = {
  create(actor: Actor, input: { id?: GroupId; name: string; members: UserId[] }): Promise<Group>;
  get(actor: Actor, group: GroupAddress): Promise<Group>;
  /** Admins only. `keepDays` null: the server's value. Absent fields stay unchanged. */
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
  poll(actor: Actor, cursor: Cursor, waitMs: number, signal: AbortSignal): Promise<SyncReply | Later<SyncReply>>;
};

export type Directory = {
  route(address: Address): Route;
};

/** Erases what users wrote, for good. */
export type Erasures = {
  /**
   * Notes the request durably, or finds one that is under way.
   * @throws AppError unknown_address; rate_limited for a user whose content was erased just before
   */
  request(user: UserId, by: "user" | "operator"): Promise<ErasureStatus>;
  /** @throws AppError unknown_address */
  status(user: UserId): Promise<ErasureStatus>;
};

export type Health = {
  /** Undefined if ready; otherwise why not. */
  notReadyReason(): string | undefined;
  /** Shards that are unavailable because their data is damaged; the others are served. */
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

/** A value, or a promise for one. */
type Soon<Answer> = Answer | Promise<Answer>;

/** Small durable state of users, at their homes. Reads return durable state only. */
export type UserCells = {
  /** Loads the user's state in its turn, so that later reads are cheap. Resolves with whether there is such a user. */
  load(user: UserId): Promise<boolean>;
  cell(user: UserId, key: string): Soon<Uint8Array | undefined>;
  /** Cells whose keys begin with `prefix`. */
  cellsWithPrefix(user: UserId, prefix: string): Soon<ReadonlyMap<string, Uint8Array>>;
  /** Creates the user with these cells in one record. @throws AppError user_taken */
  create(user: UserId, cells: [key: string, value: Uint8Array][]): Promise<void>;
  /** Resolves when durable. A `null` clears. */
  write(user: UserId, cells: [key: string, value: Uint8Array | null][]): Promise<void>;
  /** Closes the sockets of a device, and its waiting polls. */
  closeSessions(user: UserId, device: DeviceId): void;
};
