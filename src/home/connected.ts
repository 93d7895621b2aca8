/** The users connected to this node: the sessions of each user, as their home has them. */
import type { UserId } from "../domain/address.ts";
import type { Session } from "./session.ts";
import { NO_SESSIONS, type UserState } from "./state/user-state.ts";

/** Called when the first session of a user has come, and when the last one has gone. */
export type ConnectedWatcher = { came(user: UserState): void; went(user: UserState): void };

/** Called when a session has come or gone. */
export type SessionWatcher = { attached(session: Session): void; detached(session: Session): void };

export class Connected {
  readonly #users = new Map<UserId, UserState>();
  #watcher: ConnectedWatcher | undefined;
  #sessionWatcher: SessionWatcher | undefined;

  watch(watcher: ConnectedWatcher): void {
    this.#watcher = watcher;
  }

  watchSessions(watcher: SessionWatcher): void {
    this.#sessionWatcher = watcher;
  }

  /** Undefined if the user is not connected. */
  of(user: UserId): readonly Session[] | undefined {
    return this.#users.get(user)?.sessions;
  }

  attach(state: UserState, session: Session): void {
    const { user } = state;
    const isNew = !state.sessions.includes(session);
    if (isNew) state.sessions = [...state.sessions, session];
    const isFirst = this.#users.get(user) !== state;
    this.#users.set(user, state);
    if (isNew) this.#sessionWatcher?.attached(session);
    if (isFirst) this.#watcher?.came(state);
  }

  detach(state: UserState, session: Session): void {
    const { user } = state;
    const isThere = state.sessions.includes(session);
    if (isThere) state.sessions = state.sessions.filter((other) => other !== session);
    if (isThere) this.#sessionWatcher?.detached(session);
    if (state.sessions.length > 0) return;
    state.sessions = NO_SESSIONS;
    if (this.#users.get(user) !== state) return;
    this.#users.delete(user);
    this.#watcher?.went(state);
  }

  /** Every session of every user. */
  *all(): Iterable<Session> {
    for (const { sessions } of this.#users.values()) yield* sessions;
  }
}
