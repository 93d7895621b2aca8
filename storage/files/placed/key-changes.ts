/** What changes of keys make of the lists of one page. Of a key that occurs twice the first stays. No files. */
import type { PageKey, PrefixList } from "./key-page.ts";
import { extendedKeyList, KeyCursor, readKeyList, type ListKey, writeKeyList } from "./key-list.ts";

/**
 * A key that comes, with the question whether the entry that has it by now was erased; it goes without that question,
 * if it is the one of that seq.
 */
export type KeyChange = PageKey & { isGone: ((seq: number) => boolean) | undefined };

export type ChangedLists = {
  lists: PrefixList[];
  isChanged: boolean;
  /** All that changed is that keys came behind the last one. */
  isGrowing: boolean;
};

/** @param changes rising; those of one key in the order they came */
export function changedLists(before: readonly PrefixList[], changes: readonly KeyChange[]): ChangedLists {
  const lists: PrefixList[] = [];
  const last = before.at(-1);
  let [isChanged, isGrowing] = [false, true];
  let at = 0;
  for (let from = 0; from < changes.length;) {
    const { prefix } = changes[from]!;
    let to = from + 1;
    while (to < changes.length && changes[to]!.prefix === prefix) to++;
    while (at < before.length && before[at]!.prefix < prefix) lists.push(before[at++]!);
    const known = before[at]?.prefix === prefix ? before[at++]! : undefined;
    const { list, isExtended } = changedList(known?.list, changes.slice(from, to));
    if (list.length > 0) lists.push({ prefix, list });
    if (list !== (known?.list ?? NO_KEYS)) {
      isChanged = true;
      isGrowing &&= isExtended && (last === undefined || prefix >= last.prefix);
    }
    from = to;
  }
  return { lists: [...lists, ...before.slice(at)], isChanged, isGrowing };
}

const NO_KEYS = new Uint8Array();

/**
 * The same list where nothing changes. Keys that are above all others, as counters usually are, leave what is there as
 * it is.
 */
function changedList(
  list: Uint8Array = NO_KEYS,
  changes: readonly KeyChange[],
): { list: Uint8Array; isExtended: boolean } {
  const cursor = new KeyCursor(list);
  while (cursor.next());
  const isExtended = list.length === 0 || changes[0]!.counter > cursor.counter;
  const { keys, isChanged } = changedKeys(isExtended ? [] : readKeyList(list), changes);
  if (!isChanged) return { list, isExtended };
  return { list: isExtended ? extendedKeyList(list, cursor, keys) : writeKeyList(keys), isExtended };
}

function changedKeys(
  before: readonly ListKey[],
  changes: readonly KeyChange[],
): { keys: ListKey[]; isChanged: boolean } {
  const keys: ListKey[] = [];
  let isChanged = false;
  let at = 0;
  for (const change of changes) {
    while (at < before.length && before[at]!.counter <= change.counter) keys.push(before[at++]!);
    if (changeLast(keys, change)) isChanged = true;
  }
  return { keys: [...keys, ...before.slice(at)], isChanged };
}

/** @param keys those up to the changed one. @returns whether there was anything to change */
function changeLast(keys: ListKey[], change: KeyChange): boolean {
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
