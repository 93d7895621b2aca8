/**
 * Changes of a group: entries in its log. A user who joins or leaves gets an entry in their own timeline too, by a
 * handoff (membership-handoffs.ts).
 *
 * Permissions are checked before (asks/answer-change-group.ts). Changes of one group run one after the other
 * (group-turns.ts).
 */
import { assert } from "../../base/assert.ts";
import { answered, type Steps } from "../../base/steps.ts";
import type { GroupAddress, UserId } from "../../domain/address.ts";
import {
  CHANGED_LANE,
  changedJson,
  payloadBytesMax,
  writeChanged,
  type GroupChangeDetail,
} from "../../domain/entries.ts";
import type { GroupFrame } from "../../protocol/frames.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Offset, Seq } from "../../../storage/types.ts";
import { writeRecord } from "../durable.ts";
import { foldChanged } from "../fold/group.ts";
import { foldEpoch } from "../fold/group-cells.ts";
import type { GroupState } from "../state/group-state.ts";
import { joinedBy, leftBy, unconfirmedChanges } from "../handoffs/last-membership-change.ts";
import { MembershipHandoffs, type MembershipChange } from "../handoffs/membership-handoffs.ts";
import type { Shard } from "../shard.ts";

const FIRST = 1 as Seq;
const NONE = 0 as Seq;

/**
 * @param epoch of the life that the change belongs to. `created` tells it, since a device may still have a former
 * life's.
 */
export const groupFrame = (address: GroupAddress, seq: Seq, detail: GroupChangeDetail, epoch: string): GroupFrame => ({
  t: "group",
  conversation: address,
  seq,
  ...detail,
  ...(detail.change === "created" ? { epoch } : {}),
});

/** `creating`, for callers outside of steps. */
export async function createGroup(
  shard: Shard,
  address: GroupAddress,
  epoch: string,
  detail: GroupChangeDetail,
): Promise<GroupState> {
  await shard.turns.run(creating(shard, address, epoch, detail));
  return shard.groups.get(address)!;
}

/** `changing`, for callers outside of steps. */
export const changeGroup = (shard: Shard, group: GroupState, detail: GroupChangeDetail): Promise<void> =>
  shard.turns.run(group.kept(changing(shard, group, detail)));

/**
 * Begins a group, or the next life of a group that is over. Ends when that is durable. The caller makes sure that no
 * other change or creation of the group is on its way.
 */
export function* creating(shard: Shard, address: GroupAddress, epoch: string, detail: GroupChangeDetail): Steps<void> {
  const former = yield* shard.groups.steps(address);
  if (former === undefined) return yield* begin(shard, address, epoch, detail, undefined);
  assert(former.isOver, `${address} is over`);
  yield* former.kept(begin(shard, address, epoch, detail, former));
}

function* begin(
  shard: Shard,
  address: GroupAddress,
  epoch: string,
  detail: GroupChangeDetail,
  former: GroupState | undefined,
): Steps<void> {
  const before = former && (yield* unconfirmedChanges(shard, former));
  const log = shard.logFor(address);
  const handle = former?.handle ?? new StreamHandle(address, undefined);
  const seq = former?.nextSeq ?? FIRST;
  const rank = shard.ranks.group(detail.at);
  let offset = NONE as number as Offset;
  const written = writeRecord(
    log,
    () => {
      offset = log.nextOffset;
      log.putCell(handle, "epoch", Buffer.from(epoch, "latin1"));
      if (former !== undefined) writeEndOf(former, seq);
      writeChange(log, handle, seq, detail, rank);
    },
    () => {
      if (former !== undefined) {
        foldEpoch(former, epoch);
        foldChanged(former, seq, rank, detail);
      }
      shard.heads.forget(address);
      const { members } = shard.groups.get(address)!;
      show(shard, address, seq, JSON.stringify(groupFrame(address, seq, detail, epoch)), members.keys());
    },
  );
  if (former !== undefined) {
    former.nextSeq = (seq + 1) as Seq;
    // Marks behind this record belong to the new life.
    for (const marks of former.marks.values()) marks.deliveredPending = marks.seenPending = NONE;
  }
  const prevOf = (user: UserId): Seq => before?.get(user) ?? NONE;
  yield* handOver(shard, { group: address, epoch, seq, detail, prevOf }, offset, written);
}

/** Clears the cells of a former life, so that only its entries remain. The next life begins at `bornSeq`. */
function writeEndOf({ log, handle, marks, keepDays }: GroupState, bornSeq: Seq): void {
  log.putNumbers(handle, "born", bornSeq);
  if (keepDays > 0) log.putCell(handle, "keepDays", null);
  for (const [user, { deliveredPending, seenPending }] of marks) {
    if (deliveredPending > 0) log.putCell(handle, `delivered/${user}`, null);
    if (seenPending > 0) log.putCell(handle, `seen/${user}`, null);
  }
}

/**
 * Appends a change. Ends when it is durable. The caller keeps the group in memory, and makes sure that no other change
 * of it is on its way.
 */
export function* changing(shard: Shard, group: GroupState, detail: GroupChangeDetail): Steps<void> {
  const left = leftBy(detail);
  const isOfMembers = joinedBy(detail).length + left.length > 0;
  const before = isOfMembers ? yield* unconfirmedChanges(shard, group) : undefined;
  const { log, address, epoch } = group;
  const seq = group.nextSeq;
  const rank = shard.ranks.group(detail.at);
  let offset = NONE as number as Offset;
  const written = writeRecord(
    log,
    () => {
      offset = log.nextOffset;
      writeChange(log, group.handle, seq, detail, rank);
      // A cell beside the entry, for readers that do not load the group.
      if (detail.change === "retention") log.putNumbers(group.handle, "keepDays", detail.keepDays ?? 0);
    },
    () => {
      foldChanged(group, seq, rank, detail);
      if (detail.change === "dissolved") group.isEnding = false;
      for (const user of left) group.leaving.delete(user);
      const members = group.members.keys();
      // Departing members get the frame too.
      const users = left.length === 0 ? members : [...left, ...members];
      show(shard, address, seq, JSON.stringify(groupFrame(address, seq, detail, epoch)), users);
    },
  );
  group.nextSeq = (seq + 1) as Seq;
  group.isEnding = detail.change === "dissolved";
  for (const user of left) group.leaving.add(user);
  const prevOf = (user: UserId): Seq => before?.get(user) ?? NONE;
  yield* handOver(shard, { group: address, epoch, seq, detail, prevOf }, offset, written);
}

function writeChange(log: ShardLog, handle: StreamHandle, seq: Seq, detail: GroupChangeDetail, rank: number): void {
  const json = changedJson(detail);
  log.beginEntry(handle, CHANGED_LANE, "", seq, payloadBytesMax(json));
  writeChanged(log.writer, detail.at, json, rank);
  log.endEntry();
}

/**
 * Hands memberships over, beginning in the step that appended the record, so that they follow it before other records.
 */
function* handOver(shard: Shard, change: MembershipChange, offset: Offset, written: Promise<void>): Steps<void> {
  // It may fail before it is awaited.
  written.catch(() => {});
  const isOfMembers = joinedBy(change.detail).length + leftBy(change.detail).length > 0;
  if (!isOfMembers) return yield* answered(written);
  const handoffs = new MembershipHandoffs(shard, change, offset);
  shard.ledger.add(handoffs);
  yield* handoffs.handOverAlong();
  yield* answered(written);
  yield* handoffs.handOver();
}

/** One frame to every session of these users. */
function show(shard: Shard, group: GroupAddress, seq: Seq, frame: string, users: Iterable<UserId>): void {
  shard.router.cast({ kind: "entry", group, seq, frame, users });
}
