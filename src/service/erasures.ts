/** Erasing what users wrote: who is asked, and what of it has been done. The doing is src/shard/erase-user.ts, in the turns that src/node/maintenance.ts gives it. */
import { AppError } from "../base/errors.ts";
import { userAddress, type UserId } from "../domain/address.ts";
import { erasureStatus, requestErasure } from "../shard/erase-user.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import { userWithGroupHeads } from "./loading.ts";
import type { Erasures } from "./types.ts";

/** @param onRequest told when a request is durable */
export function createErasures(host: () => ShardHost, onRequest: (user: UserId) => void): Erasures {
  /** Requests on their way to the log. Another would take their place, and what they began would count for it. */
  const asking = new Map<UserId, Promise<void>>();

  async function ask(shards: ShardHost, user: UserState): Promise<void> {
    const asked = requestErasure(shards, user);
    asking.set(user.user, asked);
    try {
      await asked;
    } finally {
      asking.delete(user.user);
    }
    onRequest(user.user);
  }

  return {
    async request(name, by) {
      const shards = host();
      await shards.turns.run(userWithGroupHeads(shards.home(name), name, true));
      const user = existing(shards, name);
      if (by === "user") mustHaveRested(shards, user);
      // What makes room must not need it: a disk that is nearly full is no reason to keep what somebody wants gone.
      if (shards.store.failed !== undefined) throw shards.refusals.error(shards.refusal ?? "log failed");
      await (asking.get(name) ?? ask(shards, user));
      return erasureStatus(existing(host(), name));
    },
    async status(name) {
      const shards = host();
      await shards.turns.run(shards.users.steps(name));
      return erasureStatus(existing(shards, name));
    },
  };
}

/** Files are rewritten each time: nobody is to keep the disk busy with it. Counted while the server runs, and not by the time that is shown: that may jump. */
const REST_MS = 600_000;

function mustHaveRested({ clock }: ShardHost, user: UserState): void {
  const retryAfterMs = Math.ceil(user.erasureEndedMs + REST_MS - clock.monotonicMs());
  if (retryAfterMs <= 0 || erasureStatus(user).state === "running") return;
  throw new AppError("rate_limited", "your messages were erased just now; what came since can be erased later", {
    retryAfterMs,
  });
}

function existing(shards: ShardHost, name: UserId): UserState {
  const user = shards.users.get(name);
  if (user === undefined) throw new AppError("unknown_address", `${userAddress(name)}: there is no such user`);
  return user;
}
