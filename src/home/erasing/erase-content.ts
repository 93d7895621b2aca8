/**
 * Erases what a user wrote in one stream, at the shard of that stream: a bounded number of pages a call, each durable
 * before the next.
 *
 * How many messages a request erased is counted in a cell of the stream (fold/erased-for.ts), by the same records that
 * erase them. So a caller that repeats its question, after a lost answer or a crash, gets the same number.
 *
 * A message that the user sent before the request may be handed over after the erasure. So the stream first notes that
 * it no longer accepts those messages.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { userAddress } from "../../domain/address.ts";
import { writeRecord } from "../durable.ts";
import { eraseEntries, gatherDirect, gatherPosted, type Page } from "./erasure.ts";
import { ERASED_FOR, erasedForCell, readErasedFor, type ErasedFor } from "../fold/erased-for.ts";
import { foldAcceptsNoMore } from "../fold/timeline-cells.ts";
import { GroupState } from "../state/group-state.ts";
import { stateSteps } from "../state/load-state.ts";
import type { ContentErased, ContentToErase } from "../messages/erasing.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

/** Bounds a call, also if every page waits for the disk. */
const PAGES_MAX = 32;

type State = UserState | GroupState;

/** Ends early during a flush of the shard too: nothing can be erased until the flush is over. */
export function* eraseContent(shard: Shard, question: ContentToErase): Steps<ContentErased> {
  const { stream } = question;
  const log = shard.logFor(stream);
  let ranges = 0;
  let through = question.after;
  for (let pages = 0; ; pages++) {
    const state = yield* stateSteps(shard, stream);
    if (state === undefined) return { entries: 0, ranges, through, isDone: true };
    const erased = erasedSoFar(state, question);
    const { entries } = erased;
    if (pages === PAGES_MAX || log.isFlushing) return { entries, ranges, through, isDone: false };
    const waiting = state.erasing ?? acceptNoMore(state, question, erased);
    if (waiting !== undefined) {
      yield* answered(waiting);
      continue;
    }
    const page = pageOf(state, question, through);
    through = page.through;
    if (!page.erasure.isEmpty) yield* answered(erasePage(shard, state, question, page, erased));
    ranges += page.erasure.ranges.length;
    if (page.isLast) return { entries: entries + page.erasure.entries, ranges, through, isDone: true };
    yield;
  }
}

function erasedSoFar({ log, address }: State, { user, request, last }: ContentToErase): ErasedFor {
  const before = readErasedFor(log.cell(address, ERASED_FOR + user));
  const fromSeq = before.fromSeq > last ? before.fromSeq : last;
  return { request, entries: before.request === request ? before.entries : 0, fromSeq };
}

/**
 * Undefined if all messages that the request means have arrived. When it resolves, records that were on their way to
 * the log are durable too.
 */
function acceptNoMore(state: State, { user, last }: ContentToErase, erased: ErasedFor): Promise<void> | undefined {
  if (state instanceof GroupState || last === 0) return undefined;
  const conversation = state.conversation(userAddress(user));
  if (conversation.takenThrough >= last) return undefined;
  const { log, handle } = state;
  const noted = writeRecord(
    log,
    () => log.putCell(handle, ERASED_FOR + user, erasedForCell(erased)),
    () => {
      state.pendingMarks--;
      foldAcceptsNoMore(conversation, last);
    },
  );
  // The state stays in memory until the note is durable.
  state.pendingMarks++;
  if (last > conversation.takenThroughPending) conversation.takenThroughPending = last;
  return noted;
}

function pageOf(state: State, { user, through: end }: ContentToErase, after: Page["through"]): Page {
  if (state instanceof GroupState)
    return gatherPosted(state, after, end, ({ author }) => (author === user ? "erase" : "keep"));
  // Both directions: messages of others stay in the timelines of those others.
  if (state.user === user) return gatherDirect(state, undefined, after, end, () => "erase");
  return gatherDirect(state, userAddress(user), after, state.headSeq, (message) => {
    if (message.kind === "sent") return "keep";
    return message.fromSeq <= end ? "erase" : "end";
  });
}

function erasePage(
  shard: Shard,
  state: State,
  { user }: ContentToErase,
  { erasure }: Page,
  before: ErasedFor,
): Promise<void> {
  const { log, handle } = state;
  const erased = { ...before, entries: before.entries + erasure.entries };
  return eraseEntries(shard, state, erasure, () => log.putCell(handle, ERASED_FOR + user, erasedForCell(erased)));
}
