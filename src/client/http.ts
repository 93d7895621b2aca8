/**
 * The HTTP calls of protocol version 1, one function each. All throw `ParleyError`; none repeats itself, see
 * `withRetries`.
 */
import type { Cursor, GroupRole, WireAddress, WireMessage } from "../protocol/frames.ts";
import type {
  ConversationsPage,
  Credentials,
  EntriesPage,
  ErasureStatus,
  Group,
  HistoryPage,
  Route,
  SyncReply,
} from "../protocol/http-shapes.ts";
import { call, type Server } from "./http-request.ts";

export { withRetries, type Fetch, type Server } from "./http-request.ts";

type Login = { user: string; password: string; device?: string };

export const register = (server: Server, input: Login & { displayName?: string }): Promise<Credentials> =>
  call(server, "POST", "/v1/register", input);

export const login = (server: Server, input: Login): Promise<Credentials> => call(server, "POST", "/v1/login", input);

/** When this resolves, the token is revoked everywhere. */
export const logout = (server: Server): Promise<void> => call(server, "POST", "/v1/logout");

export type Posted = WireMessage & { duplicate?: boolean };

/** The server treats it as marked with `retry`: the same ref may be posted again without harm. */
export const postMessage = (
  server: Server,
  input: { to: WireAddress; text: string; ref: string; from?: string },
): Promise<Posted> => call(server, "POST", "/v1/messages", input);

export const createGroup = (server: Server, input: { id?: string; name: string; members: string[] }): Promise<Group> =>
  call(server, "POST", "/v1/groups", input);

export const getGroup = (server: Server, group: string): Promise<Group> => call(server, "GET", groupPath(group));

export const renameGroup = (server: Server, group: string, name: string): Promise<Group> =>
  call(server, "PATCH", groupPath(group), { name });

/** Sets how many days messages of the group are kept; null: the server's default. */
export const keepGroup = (server: Server, group: string, keepDays: number | null): Promise<Group> =>
  call(server, "PATCH", groupPath(group), { keepDays });

export const dissolveGroup = (server: Server, group: string): Promise<void> => call(server, "DELETE", groupPath(group));

/** Adds a member, or sets a member's role. */
export const putGroupMember = (
  server: Server,
  group: string,
  user: string,
  role: GroupRole = "member",
): Promise<void> => call(server, "PUT", memberPath(group, user), { role });

/** Removes a member. With the caller's own name: leaves the group. */
export const removeGroupMember = (server: Server, group: string, user: string): Promise<void> =>
  call(server, "DELETE", memberPath(group, user));

/** One page, oldest first. `user` (with an API key): whose history. */
export const history = (
  server: Server,
  conversation: WireAddress,
  page: { before?: number; after?: number; limit?: number; user?: string } = {},
): Promise<HistoryPage> =>
  call(server, "GET", `/v1/conversations/${encodeURIComponent(conversation)}/messages${query(page)}`);

/** Newest conversation first. */
export const conversations = (
  server: Server,
  page: { limit?: number; messages?: number; before?: string; user?: string } = {},
): Promise<ConversationsPage> => call(server, "GET", `/v1/conversations${query(page)}`);

/** Entries of the user's timeline, or of a group, after seq `after`, as frames. */
export const entries = (
  server: Server,
  page: { conversation?: WireAddress; after: number; limit?: number },
): Promise<EntriesPage> => call(server, "GET", `/v1/entries${query(page)}`);

/** Long poll: frames after `cursor`. */
export const sync = (server: Server, input: { cursor: Cursor; waitMs: number }): Promise<SyncReply> =>
  call(server, "POST", "/v1/sync", input);

export const route = (server: Server, address: WireAddress): Promise<Route> =>
  call(server, "GET", `/v1/route/${encodeURIComponent(address)}`);

/** Where the user of the token lives. */
export const ownRoute = (server: Server): Promise<Route> => call(server, "GET", "/v1/route");

/** With an API key: creates a user without a password. */
export const createUser = (server: Server, input: { user: string; displayName?: string }): Promise<unknown> =>
  call(server, "POST", "/v1/users", input);

/** With an API key: creates a token for that user. */
export const createToken = (server: Server, user: string, device?: string): Promise<Credentials> =>
  call(server, "POST", `/v1/users/${encodeURIComponent(user)}/token`, device === undefined ? {} : { device });

/**
 * Erases everything the user wrote and got, for good; `user` is the caller's own name. `myErasure` tells when it is
 * done.
 */
export const eraseMyMessages = (server: Server, user: string): Promise<ErasureStatus> =>
  call(server, "POST", "/v1/me/erasure", { user });

export const myErasure = (server: Server): Promise<ErasureStatus> => call(server, "GET", "/v1/me/erasure");

/** Accepts `#name` and `name`. */
function groupPath(group: string): string {
  return `/v1/groups/${encodeURIComponent(group.startsWith("#") ? group.slice(1) : group)}`;
}

function memberPath(group: string, user: string): string {
  return `${groupPath(group)}/members/${encodeURIComponent(user)}`;
}

function query(values: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}
