/** A cursor acknowledges everything up to it, as if the device had sent `received` for each of its positions. */
import type { Steps } from "../../base/steps.ts";
import type { GroupAddress } from "../../domain/address.ts";
import type { Cursor, StreamPosition } from "../../protocol/frames.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";
import { isLoaded } from "../reading/loading.ts";

/**
 * Positions of another history are left to the catch-up. Positions in groups are handled in steps, since there may be
 * many; marks only rise, so any time will do.
 */
export function acknowledge(shard: Shard, user: UserState, cursor: Cursor): void {
  if (cursor.epoch === user.epoch && cursor.timeline <= user.headSeq)
    shard.marks.received(user, cursor.timeline as Seq);
  const news = Object.entries(cursor.groups).filter(([name, { seq }]) => {
    const membership = user.membership(name as GroupAddress);
    return membership !== undefined && seq > membership.got;
  });
  if (news.length === 0) return;
  shard.turns.run(acknowledgeGroups(shard, user, news)).catch((error: unknown) => {
    shard.logger.error("positions of a cursor could not be noted as received", { error, user: user.user });
  });
}

function* acknowledgeGroups(shard: Shard, user: UserState, positions: [string, StreamPosition][]): Steps<void> {
  for (const [name, { epoch, seq }] of positions) {
    yield;
    // The user is no longer connected; the device says it again when it comes back.
    if (!isLoaded(shard, user)) return;
    const membership = user.membership(name as GroupAddress);
    const head = membership && shard.mirrors.head(name as GroupAddress, membership.shard, user.user);
    if (head === undefined) continue;
    if (epoch === head.epoch && seq <= head.headSeq) shard.marks.receivedGroup(user, head, seq as Seq);
  }
}
