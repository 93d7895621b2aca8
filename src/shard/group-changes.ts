/**
 * Changes of a group: entries in its log, and for whoever joins or leaves an entry in their own timeline, handed over like a direct message (G8).
 *
 * Changes of one group run one after the other: each is checked against what the one before left.
 */
import { assert } from "../base/assert.ts";
import { AppError } from "../base/errors.ts";
import { userAddress, type GroupAddress, type UserId } from "../domain/address.ts";
import {
  CHANGED_LANE,
  changedJson,
  payloadBytesMax,
  writeChanged,
  writeMembership,
  type GroupChangeDetail,
  type MembershipEntry,
} from "../domain/entries.ts";
import type { GroupFrame, MembershipFrame } from "../protocol/frames.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle, type RecordSource } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { writeRecord } from "./durable.ts";
import { foldChanged } from "./fold/group.ts";
import { foldEpoch } from "./fold/group-cells.ts";
import { foldMembership } from "./fold/timeline.ts";
import type { GroupState } from "./group-state.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

const FIRST = 1 as Seq;

/** @param epoch of the life that the change belongs to; `created` tells it, since a device may still have that of a former life */
export const groupFrame = (address: GroupAddress, seq: Seq, detail: GroupChangeDetail, epoch: string): GroupFrame => ({
  t: "group",
  conversation: address,
  seq,
  ...detail,
  ...(detail.change === "created" ? { epoch } : {}),
});

/** Whom a change puts in or takes out. */
export function joinedBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "created") return detail.members ?? [];
  return detail.change === "joined" ? [detail.user!] : [];
}

export function leftBy(detail: GroupChangeDetail): UserId[] {
  if (detail.change === "dissolved") return detail.members ?? [];
  return detail.change === "left" ? [detail.user!] : [];
}

/**
 * Begins a group, or the next life of one that is over. The caller has made sure that nobody else is doing so, and that
 * no other change of it is on its way.
 */
export async function createGroup(
  host: Shards,
  address: GroupAddress,
  epoch: string,
  detail: GroupChangeDetail,
): Promise<GroupState> {
  const log = host.log(address);
  const former = host.groups.get(address);
  assert(former?.isOver !== false, `${address} is over`);
  const handle = former?.handle ?? new StreamHandle(address, undefined);
  const seq = former?.nextSeq ?? FIRST;
  const json = changedJson(detail);
  const members = (detail.members ?? []).map((user) => mustLoad(host, user));
  const rank = host.ranks.group(detail.at);
  const savepoint = log.savepoint;
  const written = writeRecord(
    log,
    () => {
      log.putCell(handle, "epoch", Buffer.from(epoch, "latin1"));
      if (former !== undefined) writeEndOf(former, seq);
      log.beginEntry(handle, CHANGED_LANE, "", seq, payloadBytesMax(json));
      writeChanged(log.writer, detail.at, json, rank);
      log.endEntry();
    },
    () => {
      if (former !== undefined) {
        foldEpoch(former, epoch);
        foldChanged(former, seq, rank, detail);
      }
      host.groupHeads.forget(address);
      fanOut(host, host.groups.get(address)!, seq, JSON.stringify(groupFrame(address, seq, detail, epoch)));
    },
  );
  handOver(log, savepoint, membershipsOf(members, "joined", address, seq, detail, epoch));
  if (former !== undefined) {
    former.nextSeq = (seq + 1) as Seq;
    // What comes behind this record is of the new life.
    for (const marks of former.marks.values()) marks.deliveredPending = marks.seenPending = 0 as Seq;
  }
  await written;
  return host.groups.get(address)!;
}

/** Cells of a former life go, so that lives leave nothing behind but their entries. The next one begins at `bornSeq`. */
function writeEndOf({ log, handle, marks, keepDays }: GroupState, bornSeq: Seq): void {
  log.putNumbers(handle, "born", bornSeq);
  if (keepDays > 0) log.putCell(handle, "keepDays", null);
  for (const [user, { deliveredPending, seenPending }] of marks) {
    if (deliveredPending > 0) log.putCell(handle, `delivered/${user}`, null);
    if (seenPending > 0) log.putCell(handle, `seen/${user}`, null);
  }
}

/** Appends a change. Resolves when it is durable. */
export async function changeGroup(host: Shards, group: GroupState, detail: GroupChangeDetail): Promise<void> {
  const { log, address } = group;
  const seq = group.nextSeq;
  const json = changedJson(detail);
  const joined = joinedBy(detail).map((user) => mustLoad(host, user));
  const left = leftBy(detail).map((user) => mustLoad(host, user));
  const rank = host.ranks.group(detail.at);
  const savepoint = log.savepoint;
  const written = writeRecord(
    log,
    () => {
      log.beginEntry(group.handle, CHANGED_LANE, "", seq, payloadBytesMax(json));
      writeChanged(log.writer, detail.at, json, rank);
      log.endEntry();
      // Beside the entry, for whoever asks without loading the group.
      if (detail.change === "retention") log.putNumbers(group.handle, "keepDays", detail.keepDays ?? 0);
    },
    () => {
      const frame = JSON.stringify(groupFrame(address, seq, detail, group.epoch));
      // Those who go hear of it as well, and those who come hear it first.
      for (const user of left) for (const session of user.sessions) session.entry(address, seq, frame);
      foldChanged(group, seq, rank, detail);
      if (detail.change === "dissolved") group.isEnding = false;
      for (const { user } of left) group.leaving.delete(user);
      fanOut(host, group, seq, frame);
    },
  );
  handOver(log, savepoint, [
    ...membershipsOf(joined, "joined", address, seq, detail, group.epoch),
    ...membershipsOf(left, "left", address, seq, detail, group.epoch),
  ]);
  group.nextSeq = (seq + 1) as Seq;
  group.isEnding = detail.change === "dissolved";
  for (const { user } of left) group.leaving.add(user);
  await written;
}

function mustLoad(host: Shards, user: UserId): UserState {
  const state = host.users.get(user);
  if (state === undefined) throw new AppError("unknown_address", `${userAddress(user)}: there is no such user`);
  return state;
}

/** Into the user's timeline, unless it is there already (G8). `seq` and `detail` are of the group's entry that says so, `epoch` is the group's. */
export function takeMembership(
  user: UserState,
  change: MembershipEntry["change"],
  group: GroupAddress,
  seq: Seq,
  detail: GroupChangeDetail,
  epoch: string,
): void {
  handOver(user.log, user.log.savepoint, membershipsOf([user], change, group, seq, detail, epoch));
}

/** Of those who have not taken it. */
function membershipsOf(
  users: readonly UserState[],
  change: MembershipEntry["change"],
  group: GroupAddress,
  groupSeq: Seq,
  { by, at }: GroupChangeDetail,
  epoch: string,
): MembershipTake[] {
  return users
    .filter((user) => groupSeq > user.conversation(group).takenThroughPending)
    .map((user) => {
      const isUnasked = change === "joined" && by !== user.user;
      const entry = { kind: "membership", change, at, groupSeq, isUnasked } as const;
      return new MembershipTake(user, group, entry, epoch);
    });
}

/** Appends all of them, or takes back whatever was appended since `savepoint`. */
function handOver(log: ShardLog, savepoint: number, takes: readonly MembershipTake[]): void {
  try {
    for (const take of takes) take.user.log.append(take);
  } catch (error) {
    log.rollBack(savepoint);
    throw error;
  }
  for (const take of takes) take.appended();
}

/** An entry of a timeline that says "you are in", or "you are out". */
class MembershipTake implements RecordSource {
  readonly user: UserState;
  readonly #group: GroupAddress;
  readonly #entry: MembershipEntry;
  readonly #epoch: string;
  readonly #seq: Seq;

  constructor(user: UserState, group: GroupAddress, entry: MembershipEntry, epoch: string) {
    this.user = user;
    this.#group = group;
    this.#entry = entry;
    this.#epoch = epoch;
    this.#seq = user.nextSeq;
  }

  encode(): void {
    const { log, handle } = this.user;
    log.beginEntry(handle, this.#group, "", this.#seq, payloadBytesMax(""));
    writeMembership(log.writer, this.#entry);
    log.endEntry();
  }

  appended(): void {
    this.user.nextSeq = (this.#seq + 1) as Seq;
    const conversation = this.user.conversation(this.#group);
    conversation.takenThroughPending = this.#entry.groupSeq;
    if (this.#entry.change === "joined") conversation.isPutInPending = this.#entry.isUnasked === true;
  }

  committed(): void {
    const conversation = this.user.conversation(this.#group);
    foldMembership(this.user, conversation, this.#seq, this.#entry);
    if (conversation.takenThroughPending === this.#entry.groupSeq) conversation.isPutInPending = conversation.isPutIn;
    if (this.user.sessions.size === 0) return;
    const frame = JSON.stringify(membershipFrame(this.#seq, this.#group, this.#entry, this.#epoch));
    for (const session of this.user.sessions) session.entry("timeline", this.#seq, frame);
  }

  failed(): void {
    // Whoever changed the group is told.
  }
}

export function membershipFrame(
  seq: Seq,
  conversation: GroupAddress,
  { change, groupSeq }: MembershipEntry,
  epoch: string,
): MembershipFrame {
  return { t: "membership", seq, conversation, change, groupSeq, epoch };
}

/** One frame to every session of every member. */
function fanOut(host: Shards, group: GroupState, seq: Seq, frame: string): void {
  const users = group.members.keys();
  host.shard(group.log.shard).router.cast({ kind: "entry", group: group.address, seq, frame, users });
}
