/** Who is connected to this node: the sessions of each user, as their home has them. */
import type { UserId } from "../domain/address.ts";
import type { Session } from "./session.ts";
import type { UserState } from "./state/user-state.ts";

export class Connected {
  readonly #sessions = new Map<UserId, ReadonlySet<Session>>();

  /** Undefined when nobody is. */
  of(user: UserId): ReadonlySet<Session> | undefined {
    return this.#sessions.get(user);
  }

  attach({ user, sessions }: UserState, session: Session): void {
    sessions.add(session);
    this.#sessions.set(user, sessions);
  }

  detach({ user, sessions }: UserState, session: Session): void {
    sessions.delete(session);
    if (sessions.size === 0 && this.#sessions.get(user) === sessions) this.#sessions.delete(user);
  }

  /** Every session of every user. */
  *all(): Iterable<Session> {
    for (const sessions of this.#sessions.values()) yield* sessions;
  }
}
