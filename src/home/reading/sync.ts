/**
 * Long poll: the frames that a socket would have got, from a cursor. Keeps nothing between two calls; the cursor is the
 * whole state.
 */
import { AppError } from "../../base/errors.ts";
import { Later } from "../../base/later.ts";
import type { Steps } from "../../base/steps.ts";
import { SESSIONS_PER_USER_MAX, SYNC_CHARACTERS_MAX, SYNC_FRAMES_MAX } from "../../domain/limits.ts";
import type { Cursor, ServerFrame } from "../../protocol/frames.ts";
import type { SyncReply } from "../../protocol/http-shapes.ts";
import type { Home, Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { acknowledge } from "../marks/acknowledge.ts";
import { actingUser } from "../acting-user.ts";
import { CatchUp, CatchUpPage } from "./catch-up.ts";
import { isLoaded, userWithGroupHeads } from "./loading.ts";
import type { ReadBudget } from "./read-budget.ts";
import { WaitingPoll } from "./waiting-poll.ts";
import type { Actor, Sync } from "../services.ts";

export function createSync(home: Home, budget: ReadBudget): Sync {
  return {
    async poll(actor, cursor, waitMs, signal): Promise<SyncReply | Later<SyncReply>> {
      const shard = home(actor.user);
      budget.check(actor.user);
      const { catchUp, page, waiting } = await shard.turns.run(beginPoll(shard, actor, cursor, waitMs, signal));
      budget.spend(actor.user, page.work);
      if (waiting === undefined) return replyOf([], page, catchUp);
      return new Later(waiting.notices.then((notices) => readOn(shard, budget, actor, catchUp, notices)));
    },
  };
}

type Poll = { catchUp: CatchUp; page: CatchUpPage; waiting: WaitingPoll | undefined };

/** Waits if nothing is missed. Waiting begins in the same turn of the event loop, so that no entry is overlooked. */
function* beginPoll(shard: Shard, actor: Actor, cursor: Cursor, waitMs: number, signal: AbortSignal): Steps<Poll> {
  const user = (yield* userWithGroupHeads(shard, actor.user)) ?? actingUser(shard, actor);
  acknowledge(shard, user, cursor);
  const catchUp = new CatchUp(shard, user, cursor);
  const page = newPage(shard);
  const isPresent = yield* catchUp.reading(page);
  const isWaiting = isPresent && page.frames.length === 0 && waitMs > 0 && isLoaded(shard, user);
  return { catchUp, page, waiting: isWaiting ? waitFor(shard, user, actor, waitMs, signal) : undefined };
}

function waitFor(shard: Shard, user: UserState, actor: Actor, waitMs: number, signal: AbortSignal): WaitingPoll {
  if (user.sessions.length >= SESSIONS_PER_USER_MAX) {
    throw new AppError(
      "rate_limited",
      `${SESSIONS_PER_USER_MAX} connections and polls of this user are open, that is the most`,
    );
  }
  return new WaitingPoll(shard, actor, waitMs, signal);
}

/** What has come during the wait. */
async function readOn(
  shard: Shard,
  budget: ReadBudget,
  { user }: Actor,
  catchUp: CatchUp,
  notices: readonly string[],
): Promise<SyncReply> {
  const page = newPage(shard);
  await shard.turns.run(catchUp.reading(page));
  budget.spend(user, page.work);
  return replyOf(notices, page, catchUp);
}

const newPage = ({ clock }: Shard): CatchUpPage => new CatchUpPage(SYNC_FRAMES_MAX, SYNC_CHARACTERS_MAX, clock);

const replyOf = (notices: readonly string[], { frames }: CatchUpPage, catchUp: CatchUp): SyncReply => ({
  frames: [...notices, ...frames].map((frame) => JSON.parse(frame) as ServerFrame),
  cursor: catchUp.cursor(),
  more: catchUp.isBehind,
});
