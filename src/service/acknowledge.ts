/** What a cursor says by itself: whoever comes with one has everything up to it, as if a device had said `received` for each position. */
import type { Steps } from "../base/steps.ts";
import type { GroupAddress } from "../domain/address.ts";
import type { Cursor, StreamPosition } from "../protocol/frames.ts";
import { cellNumber } from "../shard/cells.ts";
import { stepsUnlessDamaged } from "../shard/damage.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { isLoaded } from "./loading.ts";

/** Positions that are not ours are the catch-up's business. Those in groups are taken in steps, since their groups may have to be loaded: marks only rise, so any time will do. */
export function acknowledge(host: ShardHost, user: UserState, cursor: Cursor): void {
  if (cursor.epoch === user.epoch && cursor.timeline <= user.headSeq) host.marks.received(user, cursor.timeline as Seq);
  const news = Object.entries(cursor.groups).filter(([name, { seq }]) => {
    const membership = user.membership(name as GroupAddress);
    return membership !== undefined && seq > membership.got;
  });
  if (news.length === 0) return;
  host.turns.run(acknowledgeGroups(host, user, news)).catch((error: unknown) => {
    host.logger.error("what a cursor says was received could not be noted", { error, user: user.user });
  });
}

function* acknowledgeGroups(host: ShardHost, user: UserState, positions: [string, StreamPosition][]): Steps<void> {
  for (const [name, position] of positions) {
    yield;
    const address = name as GroupAddress;
    if (host.groupHeads.of(address) === undefined || isNoted(host, user, address, position)) continue;
    const group = yield* stepsUnlessDamaged(host.groups.steps(address));
    // Nobody is connected any more; the device says it again when it comes back.
    if (!isLoaded(host.home(user.user), user)) return;
    if (group === undefined || user.membership(address) === undefined) continue;
    if (position.epoch === group.epoch && position.seq <= group.headSeq)
      host.marks.receivedGroup(user, group, position.seq as Seq);
  }
}

/** Told without loading the group: the mark that members see is as high. */
function isNoted(host: ShardHost, { user }: UserState, address: GroupAddress, { seq }: StreamPosition): boolean {
  if (host.groups.peek(address) !== undefined) return false;
  return cellNumber(host.log(address).cell(address, `delivered/${user}`)) >= seq;
}
