/**
 * Erasing what a user wrote in one stream, at the shard of that stream: a bounded number of pages a call, each durable before the next.
 *
 * How many messages went for a request stands in a cell of the stream, in the records that erase them. So whoever asks again, after an answer that was lost or a crash, is
 * told the same number.
 *
 *     erasedFor/USER    request | messages of USER that it erased in this stream
 */
import { answered, type Steps } from "../base/steps.ts";
import { userAddress, type UserId } from "../domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import { CellReader } from "./cells.ts";
import { eraseEntries, gatherDirect, gatherPosted, type Page } from "./erasure.ts";
import { GroupState } from "./group-state.ts";
import { stateSteps } from "./load-state.ts";
import type { ContentErased, ContentToErase } from "./messages/erasing.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./user-state.ts";

/** A call ends soon, also where every page waits for the disk. */
const PAGES_MAX = 32;

type State = UserState | GroupState;

/** Ends early, too, when the shard is being flushed: nothing can be erased until that is over. */
export function* eraseContent(shard: Shard, question: ContentToErase): Steps<ContentErased> {
  const { stream, user, request } = question;
  const log = shard.logFor(stream);
  let ranges = 0;
  let through = question.after;
  for (let pages = 0; ; pages++) {
    const state = yield* stateSteps(shard, stream);
    if (state === undefined) return { entries: 0, ranges, through, isDone: true };
    if (state.erasing !== undefined) {
      yield state.erasing;
      continue;
    }
    const entries = entriesOf(state, user, request);
    if (pages === PAGES_MAX || log.isFlushing) return { entries, ranges, through, isDone: false };
    const page = pageOf(state, question, through);
    through = page.through;
    if (!page.erasure.isEmpty) yield* answered(erasePage(shard, state, question, page, entries));
    ranges += page.erasure.ranges.length;
    if (page.isLast) return { entries: entries + page.erasure.entries, ranges, through, isDone: true };
    yield;
  }
}

function pageOf(state: State, { user, through: end }: ContentToErase, after: Seq): Page {
  if (state instanceof GroupState)
    return gatherPosted(state, after, end, ({ author }) => (author === user ? "erase" : "keep"));
  // Both ways: what others sent stays with them.
  if (state.user === user) return gatherDirect(state, undefined, after, end, () => "erase");
  return gatherDirect(state, userAddress(user), after, state.headSeq, (message) => {
    if (message.kind === "sent") return "keep";
    return message.fromSeq <= end ? "erase" : "end";
  });
}

function erasePage(
  shard: Shard,
  state: State,
  { user, request }: ContentToErase,
  { erasure }: Page,
  before: number,
): Promise<void> {
  const { log, handle } = state;
  const count = (): void => log.putNumbers(handle, cellOf(user), request, before + erasure.entries);
  return eraseEntries(shard, state, erasure, count);
}

const cellOf = (user: UserId): string => `erasedFor/${user}`;

function entriesOf({ log, address }: State, user: UserId, request: number): number {
  const cell = new CellReader(log.cell(address, cellOf(user)));
  return cell.number() === request ? cell.number() : 0;
}
