import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";
import { memberGroupHead } from "../authorization.ts";
import type { GroupHead } from "../groups/group-heads.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import { groupEntryFrame } from "../reading/entry-frames.ts";
import type { Shard } from "../shard.ts";

/** Entries read from the log at once. */
const READ_ENTRIES = 64;
const STEP_MS = 1;

/** The caller asks again for more. An answer takes one step, so on a node that owns both shards it is not a promise. */
export function* answerGroupEntries(
  shard: Shard,
  { group, viewer, after, limit, charactersMax }: Questions["groupEntries"],
): Steps<Answers["groupEntries"]> {
  const head = yield* memberGroupHead(shard, group, viewer);
  const { epoch, bornSeq, headSeq } = head;
  const from = Math.max(after, bornSeq - 1) as Seq;
  if (from >= headSeq || limit === 0) return { epoch, frames: [], from, through: from, headSeq };
  const entries = head.log.readForward(group, from, Math.min(READ_ENTRIES, limit));
  if (entries.length === 0) throw new Error(`${group}: no entry behind ${from}, below the head`);
  return { epoch, from, headSeq, ...framesOf(shard, head, entries, from, viewer.user, charactersMax) };
}

function framesOf(
  shard: Shard,
  head: GroupHead,
  entries: readonly StoredEntry[],
  from: Seq,
  viewer: UserId,
  charactersMax: number,
): { frames: string[]; through: Seq } {
  const endAt = shard.clock.monotonicMs() + STEP_MS;
  const frames: string[] = [];
  let through = from;
  let characters = 0;
  for (const stored of entries) {
    if (stored.seq > head.headSeq) break;
    const frame = JSON.stringify(groupEntryFrame(shard, head, stored, viewer));
    frames.push(frame);
    through = stored.seq;
    characters += frame.length;
    if (characters >= charactersMax || shard.clock.monotonicMs() >= endAt) break;
  }
  return { frames, through };
}
