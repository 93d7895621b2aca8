/** The users connected to this node: the sessions of each user, as their home has them. */
import type { UserId } from "../domain/address.ts";
import type { Session } from "./session.ts";
import { NO_SESSIONS, type UserState } from "./state/user-state.ts";

/** Called when the first session of a user has come, and when the last one has gone. */
export type ConnectedWatcher = { came(user: UserState): void; went(user: UserState): void };

/** Called when a session has come or gone. */
export type SessionWatcher = { attached(session: Session): void; detached(session: Session): void };

export class Connected {
  readonly #sessions = new Map<UserId, ReadonlySet<Session>>();
  #watcher: ConnectedWatcher | undefined;
  #sessionWatcher: SessionWatcher | undefined;

  watch(watcher: ConnectedWatcher): void {
    this.#watcher = watcher;
  }

  watchSessions(watcher: SessionWatcher): void {
    this.#sessionWatcher = watcher;
  }

  /** Undefined if the user is not connected. */
  of(user: UserId): ReadonlySet<Session> | undefined {
    return this.#sessions.get(user);
  }

  attach(state: UserState, session: Session): void {
    const { user } = state;
    if (state.sessions === NO_SESSIONS) state.sessions = new Set();
    const sessions = state.sessions as Set<Session>;
    const isNew = !sessions.has(session);
    sessions.add(session);
    const isFirst = this.#sessions.get(user) !== sessions;
    this.#sessions.set(user, sessions);
    if (isNew) this.#sessionWatcher?.attached(session);
    if (isFirst) this.#watcher?.came(state);
  }

  detach(state: UserState, session: Session): void {
    const { user, sessions } = state;
    if ((sessions as Set<Session>).delete(session)) this.#sessionWatcher?.detached(session);
    if (sessions.size > 0) return;
    state.sessions = NO_SESSIONS;
    if (this.#sessions.get(user) !== sessions) return;
    this.#sessions.delete(user);
    this.#watcher?.went(state);
  }

  /** Every session of every user. */
  *all(): Iterable<Session> {
    for (const sessions of this.#sessions.values()) yield* sessions;
  }
}
