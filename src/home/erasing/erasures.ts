/**
 * Requests to erase what users wrote, and their progress. The erasing itself is src/home/erasing/erase-user.ts, in the
 * turns that src/node/maintenance/maintenance.ts gives it.
 */
import { AppError } from "../../base/errors.ts";
import { userAddress, type UserId } from "../../domain/address.ts";
import { erasureStatus, requestErasure } from "./erase-user.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Erasures } from "../services.ts";

export type ErasuresParts = {
  /** The shard of the user. @throws AppError unavailable */
  home(user: UserId): Shard;
  /**
   * Whether a request can be noted. Requests are noted even while messages are refused: erasing frees space and must
   * not need it.
   */
  isWritable(): boolean;
  /** Called when a request is durable. */
  onRequest(user: UserId): void;
};

export function createErasures({ home, isWritable, onRequest }: ErasuresParts): Erasures {
  /**
   * Requests on their way to the log. A second one would replace the first, and its counts would include the first
   * one's.
   */
  const asking = new Map<UserId, Promise<void>>();

  async function ask(shard: Shard, name: UserId): Promise<void> {
    const asked = requestErasure(shard, name);
    asking.set(name, asked);
    try {
      await asked;
    } finally {
      asking.delete(name);
    }
    onRequest(name);
  }

  return {
    async request(name, by) {
      const shard = home(name);
      const user = await existing(shard, name);
      if (by === "user") mustHaveRested(shard, user);
      if (!isWritable()) throw shard.refusals.error(shard.refusal ?? "log failed");
      await (asking.get(name) ?? ask(shard, name));
      return erasureStatus(await existing(home(name), name));
    },
    async status(name) {
      return erasureStatus(await existing(home(name), name));
    },
  };
}

/**
 * Each request rewrites files, so this bounds how busy a user can keep the disk. Monotonic time, not the time that is
 * shown: the wall clock may jump.
 */
const REST_MS = 600_000;

function mustHaveRested({ clock }: Shard, user: UserState): void {
  const retryAfterMs = Math.ceil(user.erasureEndedMs + REST_MS - clock.monotonicMs());
  if (retryAfterMs <= 0 || erasureStatus(user).state === "running") return;
  throw new AppError("rate_limited", "your messages were erased just now; newer ones can be erased later", {
    retryAfterMs,
  });
}

async function existing({ users, turns }: Shard, name: UserId): Promise<UserState> {
  const user = users.peek(name) ?? (await turns.run(users.steps(name)));
  if (user === undefined) throw new AppError("unknown_address", `${userAddress(name)}: there is no such user`);
  return user;
}
