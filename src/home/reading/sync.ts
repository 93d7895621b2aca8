/**
 * Long poll: the frames that a socket would have got, from a cursor. Keeps nothing between two calls; the cursor is the
 * whole state.
 */
import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { SESSIONS_PER_USER_MAX, SYNC_CHARACTERS_MAX, SYNC_FRAMES_MAX } from "../../domain/limits.ts";
import type { Cursor, ServerFrame } from "../../protocol/frames.ts";
import type { SyncReply } from "../../protocol/http-shapes.ts";
import type { Session } from "../session.ts";
import type { Home, Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { acknowledge } from "../marks/acknowledge.ts";
import { actingUser } from "../acting-user.ts";
import { CatchUp, CatchUpPage } from "./catch-up.ts";
import { isLoaded, userWithGroupHeads } from "./loading.ts";
import type { ReadBudget } from "./read-budget.ts";
import type { Actor, Sync } from "../services.ts";

export function createSync(home: Home, budget: ReadBudget): Sync {
  return {
    async poll(actor, cursor, waitMs, signal): Promise<SyncReply> {
      const shard = home(actor.user);
      budget.check(actor.user);
      const poll = await shard.turns.run(beginPoll(shard, actor, cursor, waitMs, signal));
      const { catchUp, page } = poll;
      budget.spend(actor.user, page.work);
      const notices = await poll.notices;
      if (notices !== undefined) {
        await shard.turns.run(catchUp.reading(page));
        budget.spend(actor.user, page.work);
      }
      return {
        frames: [...(notices ?? []), ...page.frames].map((frame) => JSON.parse(frame) as ServerFrame),
        cursor: catchUp.cursor(),
        more: catchUp.isBehind,
      };
    },
  };
}

type Poll = { catchUp: CatchUp; page: CatchUpPage; notices: Promise<string[]> | undefined };

/** Waits if nothing is missed. Waiting begins in the same turn of the event loop, so that no entry is overlooked. */
function* beginPoll(shard: Shard, actor: Actor, cursor: Cursor, waitMs: number, signal: AbortSignal): Steps<Poll> {
  const user = (yield* userWithGroupHeads(shard, actor.user)) ?? actingUser(shard, actor);
  acknowledge(shard, user, cursor);
  const catchUp = new CatchUp(shard, user, cursor);
  const page = new CatchUpPage(SYNC_FRAMES_MAX, SYNC_CHARACTERS_MAX, shard.clock);
  const isPresent = yield* catchUp.reading(page);
  const isWaiting = isPresent && page.frames.length === 0 && waitMs > 0 && isLoaded(shard, user);
  return { catchUp, page, notices: isWaiting ? waitForFrames(shard, user, actor, waitMs, signal) : undefined };
}

/**
 * Resolves with the first notices that no cursor would bring back (receipts in groups). Resolves empty when an entry
 * has arrived, the time is up or the caller is gone.
 * @throws AppError if the device is logged out or the node goes away meanwhile
 */
function waitForFrames(
  shard: Shard,
  user: UserState,
  actor: Actor,
  waitMs: number,
  signal: AbortSignal,
): Promise<string[]> {
  if (user.sessions.size >= SESSIONS_PER_USER_MAX) {
    throw new AppError(
      "rate_limited",
      `${SESSIONS_PER_USER_MAX} connections and polls of this user are open, that is the most`,
    );
  }
  if (signal.aborted) return Promise.resolve([]);
  return new Promise((resolve, reject) => {
    const notices: string[] = [];
    let isEnding = false;
    const end = (finish: () => void): void => {
      shard.detach(session);
      cancel();
      signal.removeEventListener("abort", onAbort);
      finish();
    };
    // Entries of one commit are answered together: wait until the whole commit has been applied.
    const wake = (): void => {
      if (isEnding) return;
      isEnding = true;
      setImmediate(() => end(() => resolve(notices)));
    };
    const onAbort = (): void => end(() => resolve([]));
    const session: Session = {
      user: actor.user,
      device: actor.device,
      entry: wake,
      notice(frame, mark) {
        // Receipts with a mark are read again from the cursor's marks.
        if (mark === undefined) notices.push(frame);
        wake();
      },
      close: (_code, reason, afterMs) => end(() => reject(closedError(reason, afterMs))),
    };
    const cancel = shard.clock.after(waitMs, () => end(() => resolve([])));
    signal.addEventListener("abort", onAbort, { once: true });
    shard.attach(session);
  });
}

/** With a delay the client may come back; without one it was logged out. */
function closedError(reason: string, afterMs: number | undefined): AppError {
  return afterMs === undefined
    ? new AppError("unauthorized", reason)
    : new AppError("unavailable", reason, { retryAfterMs: afterMs });
}
