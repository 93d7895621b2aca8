/**
 * How long the messages of one stream are kept, and the erasure of older ones.
 *
 * A group that was created anew has several lives in one log. Each life keeps its messages for as long as its own
 * admins said last. So the admins of a later life neither erase nor prolong messages of an earlier one.
 */
import { nextTurn } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import { CHANGED_LANE, readGroupEntry } from "../../domain/entries.ts";
import type { Seq } from "../../../storage/types.ts";
import { cellNumber } from "../state/cells.ts";
import { unlessDamaged } from "../damage.ts";
import { ERASE_PAGE, eraseEntries, gatherPosted, unlessErasable } from "./erasure.ts";
import { eraseBefore, cutoffOf, expiresAt } from "./retention.ts";
import { loadState } from "../state/load-state.ts";
import type { Shard } from "../shard.ts";

const FIRST = 1 as Seq;
const END = Number.MAX_SAFE_INTEGER as Seq;

/** `dueAt`: Unix ms at which the next message will be too old, as of now. */
export type Expired = { entries: number; dueAt: number };

/** `keepDays`: as the admins set it; 0: the server's value. `through`: the end of the log, for the present life. */
type Life = { from: Seq; through: Seq; keepDays: number };

export type ExpiryPorts = {
  /** The server's number of days; undefined: for ever. */
  keepDays: number | undefined;
  nowMs: number;
  isStopped: () => boolean;
};

/** @returns undefined if no message will ever be too old. @throws as `eraseBefore` does */
export async function eraseExpired(shard: Shard, address: Address, ports: ExpiryPorts): Promise<Expired | undefined> {
  if (unlessDamaged(() => isGroup(address) && cellOf(shard, address, "born") > 0) === true)
    return eraseInLives(shard, address as GroupAddress, ports);
  const own = isGroup(address) ? unlessDamaged(() => cellOf(shard, address, "keepDays")) : 0;
  const days = own === undefined ? undefined : shorter(own, ports.keepDays);
  if (days === undefined) return undefined;
  const { entries, oldestAt } = await eraseBefore(shard, address, cutoffOf(ports.nowMs, days), ports.isStopped);
  return { entries, dueAt: expiresAt(oldestAt ?? ports.nowMs, days) };
}

const cellOf = (shard: Shard, address: Address, key: string): number =>
  cellNumber(shard.logFor(address).cell(address, key));

/** The smaller of the group's and the server's days; undefined: for ever. */
const shorter = (own: number, server: number | undefined): number | undefined =>
  own > 0 ? Math.min(own, server ?? own) : server;

async function eraseInLives(shard: Shard, address: GroupAddress, ports: ExpiryPorts): Promise<Expired | undefined> {
  await loadState(shard, address);
  const expired: Expired = { entries: 0, dueAt: Number.POSITIVE_INFINITY };
  for await (const life of livesOf(shard, address)) {
    const days = shorter(life.keepDays, ports.keepDays);
    if (days === undefined) continue;
    const oldestAt = await eraseInLife(shard, address, life, cutoffOf(ports.nowMs, days), expired, ports.isStopped);
    expired.dueAt = Math.min(expired.dueAt, expiresAt(oldestAt ?? ports.nowMs, days));
    if (ports.isStopped()) break;
  }
  return expired.dueAt === Number.POSITIVE_INFINITY ? undefined : expired;
}

/**
 * Changes are never erased, so the log has all lives. Neighbouring lives with equal `keepDays` are merged. The lives
 * are not collected: there may be many.
 */
async function* livesOf(shard: Shard, address: GroupAddress): AsyncIterable<Life> {
  let before: Life | undefined;
  let life: Life = { from: FIRST, through: END, keepDays: 0 };
  for (let after = 0 as Seq; ;) {
    const page = shard.logFor(address).readLaneForward(address, CHANGED_LANE, after, ERASE_PAGE);
    for (const stored of page) {
      after = stored.seq;
      const entry = readGroupEntry(stored);
      if (entry.kind !== "changed") continue;
      if (entry.detail.change === "retention") life.keepDays = entry.detail.keepDays ?? 0;
      if (entry.detail.change !== "created" || after === FIRST) continue;
      life.through = (after - 1) as Seq;
      if (before?.keepDays === life.keepDays) before.through = life.through;
      else {
        if (before !== undefined) yield before;
        before = life;
      }
      life = { from: after, through: END, keepDays: 0 };
    }
    if (page.length < ERASE_PAGE) break;
    await nextTurn();
  }
  if (before !== undefined) yield before;
  yield life;
}

/**
 * Erases messages from before `cutoff`, Unix ms, and counts them in `expired`. @returns time of the oldest message that
 * is left; undefined if there is none
 */
async function eraseInLife(
  shard: Shard,
  address: GroupAddress,
  { from, through }: Life,
  cutoff: number,
  expired: Expired,
  isStopped: () => boolean,
): Promise<number | undefined> {
  let oldestAt: number | undefined;
  for (let after = (from - 1) as Seq; ;) {
    const group = shard.groups.get(address)!;
    const waiting = unlessErasable(shard, group, isStopped);
    if (waiting !== undefined) {
      await waiting;
      continue;
    }
    const page = gatherPosted(group, after, Math.min(through, group.headSeq) as Seq, ({ sentAt }) => {
      if (sentAt < cutoff) return "erase";
      oldestAt = sentAt;
      return "end";
    });
    after = page.through;
    if (page.erasure.isEmpty) await nextTurn();
    else {
      await eraseEntries(shard, group, page.erasure);
      expired.entries += page.erasure.entries;
    }
    if (page.isLast || isStopped()) return oldestAt;
  }
}
