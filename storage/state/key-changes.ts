/** What changes of keys make of the runs of one page. Of a key that occurs twice the first stays. No files. */
import type { PageKey, PrefixRun } from "./key-page.ts";
import { extendedKeyRun, KeyCursor, readKeyRun, type RunKey, writeKeyRun } from "./key-run.ts";

/** A key that comes, with the question whether the entry that has it by now was erased; it goes without that question, if it is the one of that seq. */
export type KeyChange = PageKey & { isGone: ((seq: number) => boolean) | undefined };

export type ChangedRuns = {
  runs: PrefixRun[];
  isChanged: boolean;
  /** All that changed is that keys came behind the last one. */
  isGrowing: boolean;
};

/** @param changes rising; those of one key in the order they came */
export function changedRuns(before: readonly PrefixRun[], changes: readonly KeyChange[]): ChangedRuns {
  const runs: PrefixRun[] = [];
  const last = before.at(-1);
  let [isChanged, isGrowing] = [false, true];
  let at = 0;
  for (let from = 0; from < changes.length;) {
    const { prefix } = changes[from]!;
    let to = from + 1;
    while (to < changes.length && changes[to]!.prefix === prefix) to++;
    while (at < before.length && before[at]!.prefix < prefix) runs.push(before[at++]!);
    const known = before[at]?.prefix === prefix ? before[at++]! : undefined;
    const { run, isExtended } = changedRun(known?.run, changes.slice(from, to));
    if (run.length > 0) runs.push({ prefix, run });
    if (run !== (known?.run ?? NO_KEYS)) {
      isChanged = true;
      isGrowing &&= isExtended && (last === undefined || prefix >= last.prefix);
    }
    from = to;
  }
  return { runs: [...runs, ...before.slice(at)], isChanged, isGrowing };
}

const NO_KEYS = new Uint8Array();

/** The same run where nothing changes. Keys that are above all others, as counters usually are, leave what is there as it is. */
function changedRun(
  run: Uint8Array = NO_KEYS,
  changes: readonly KeyChange[],
): { run: Uint8Array; isExtended: boolean } {
  const cursor = new KeyCursor(run);
  while (cursor.next());
  const isExtended = run.length === 0 || changes[0]!.counter > cursor.counter;
  const { keys, isChanged } = changedKeys(isExtended ? [] : readKeyRun(run), changes);
  if (!isChanged) return { run, isExtended };
  return { run: isExtended ? extendedKeyRun(run, cursor, keys) : writeKeyRun(keys), isExtended };
}

function changedKeys(before: readonly RunKey[], changes: readonly KeyChange[]): { keys: RunKey[]; isChanged: boolean } {
  const keys: RunKey[] = [];
  let isChanged = false;
  let at = 0;
  for (const change of changes) {
    while (at < before.length && before[at]!.counter <= change.counter) keys.push(before[at++]!);
    if (changeLast(keys, change)) isChanged = true;
  }
  return { keys: [...keys, ...before.slice(at)], isChanged };
}

/** @param keys those up to the changed one. @returns whether there was anything to change */
function changeLast(keys: RunKey[], change: KeyChange): boolean {
  const { isGone } = change;
  const last = keys.at(-1);
  if (last?.counter !== change.counter) {
    if (isGone !== undefined) keys.push(change);
    return isGone !== undefined;
  }
  const givesWay = isGone === undefined ? last.seq === change.seq : isGone(last.seq);
  if (last.value !== null || !givesWay) return false;
  keys.pop();
  if (isGone !== undefined) keys.push(change);
  return true;
}
