/** Erasing what users wrote: who is asked, and what of it has been done. The doing is src/home/erasing/erase-user.ts, in the turns that src/node/maintenance/maintenance.ts gives it. */
import { AppError } from "../../base/errors.ts";
import { userAddress, type UserId } from "../../domain/address.ts";
import { erasureStatus, requestErasure } from "./erase-user.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Erasures } from "../services.ts";

export type ErasuresParts = {
  /** The shard of the user. @throws AppError unavailable */
  home(user: UserId): Shard;
  /** Requests are noted also where no message would be: what makes room must not need it. False only when nothing can be. */
  isWritable(): boolean;
  /** Told when a request is durable. */
  onRequest(user: UserId): void;
};

export function createErasures({ home, isWritable, onRequest }: ErasuresParts): Erasures {
  /** Requests on their way to the log. Another would take their place, and what they began would count for it. */
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

/** Files are rewritten each time: nobody is to keep the disk busy with it. Counted while the server runs, and not by the time that is shown: that may jump. */
const REST_MS = 600_000;

function mustHaveRested({ clock }: Shard, user: UserState): void {
  const retryAfterMs = Math.ceil(user.erasureEndedMs + REST_MS - clock.monotonicMs());
  if (retryAfterMs <= 0 || erasureStatus(user).state === "running") return;
  throw new AppError("rate_limited", "your messages were erased just now; what came since can be erased later", {
    retryAfterMs,
  });
}

async function existing({ users, turns }: Shard, name: UserId): Promise<UserState> {
  const user = users.peek(name) ?? (await turns.run(users.steps(name)));
  if (user === undefined) throw new AppError("unknown_address", `${userAddress(name)}: there is no such user`);
  return user;
}
