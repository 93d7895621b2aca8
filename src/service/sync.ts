/** Long poll: the frames a socket would have got, from a cursor. Keeps nothing between two calls; the cursor is all there is. */
import { AppError } from "../base/errors.ts";
import type { GroupAddress } from "../domain/address.ts";
import { SESSIONS_PER_USER_MAX, SYNC_CHARACTERS_MAX, SYNC_FRAMES_MAX } from "../domain/limits.ts";
import type { Cursor, ServerFrame } from "../protocol/frames.ts";
import type { SyncReply } from "../protocol/http-shapes.ts";
import type { Session } from "../shard/session.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { actingUser } from "./acting-user.ts";
import { CatchUp } from "./catch-up.ts";
import type { Actor, Sync } from "./types.ts";

export function createSync(host: () => ShardHost): Sync {
  return {
    async poll(actor, cursor, waitMs, signal): Promise<SyncReply> {
      const shards = host();
      const user = actingUser(shards, actor);
      acknowledge(shards, user, cursor);
      const catchUp = new CatchUp(shards, user, cursor);
      let frames = catchUp.next(SYNC_FRAMES_MAX, SYNC_CHARACTERS_MAX);
      if (frames.length === 0 && waitMs > 0) {
        frames = await waitForFrames(shards, user, actor, waitMs, signal);
        frames.push(...catchUp.next(SYNC_FRAMES_MAX, SYNC_CHARACTERS_MAX));
      }
      return {
        frames: frames.map((frame) => JSON.parse(frame) as ServerFrame),
        cursor: catchUp.cursor(),
        more: catchUp.isBehind,
      };
    },
  };
}

/** Whoever comes with a cursor has everything up to it: that is what `received` says. Positions that are not ours are the catch-up's business. */
export function acknowledge(host: ShardHost, user: UserState, cursor: Cursor): void {
  if (cursor.epoch === user.epoch && cursor.timeline <= user.headSeq) host.marks.received(user, cursor.timeline as Seq);
  for (const [name, position] of Object.entries(cursor.groups)) {
    const address = name as GroupAddress;
    const group = user.membership(address) && host.groups.get(address);
    if (group && position.epoch === group.epoch && position.seq <= group.headSeq)
      host.marks.receivedGroup(user, group, position.seq as Seq);
  }
}

/**
 * Resolves with the first notices that no cursor would bring back (receipts in groups), or empty when an entry is there, the time is up or the caller gone.
 * @throws AppError when the device is logged out or the node goes away meanwhile
 */
function waitForFrames(
  host: ShardHost,
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
    const end = (settle: () => void): void => {
      host.detach(session);
      cancel();
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    // What is committed together is told together: answer after the whole commit has been applied.
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
        // Receipts with a mark are read from the cursor's marks.
        if (mark === undefined) notices.push(frame);
        wake();
      },
      close: (_code, reason, afterMs) => end(() => reject(closedError(reason, afterMs))),
    };
    const cancel = host.clock.after(waitMs, () => end(() => resolve([])));
    signal.addEventListener("abort", onAbort, { once: true });
    host.attach(session);
  });
}

/** Who may come back is told when; who may not was logged out. */
function closedError(reason: string, afterMs: number | undefined): AppError {
  return afterMs === undefined
    ? new AppError("unauthorized", reason)
    : new AppError("unavailable", reason, { retryAfterMs: afterMs });
}
