import type { Cursor } from "../protocol/frames.ts";

/**
 * Storage for a device's cursor between runs. `save` is called after the messages up to this cursor were handled and
 * before the server is told so. If it fails, nothing is acknowledged, and it is called again.
 */
export interface CursorStore {
  load(): Promise<Cursor | undefined> | Cursor | undefined;
  save(cursor: Cursor): Promise<void> | void;
}

/** For programs that start from the beginning at each run. */
export class MemoryCursorStore implements CursorStore {
  #cursor: Cursor | undefined;

  constructor(cursor?: Cursor) {
    this.#cursor = cursor;
  }

  load(): Cursor | undefined {
    return this.#cursor;
  }

  save(cursor: Cursor): void {
    this.#cursor = cursor;
  }
}

/** The needed part of the browser's `Storage`. */
export type KeyValueStorage = { getItem(key: string): string | null; setItem(key: string, value: string): void };

/** Over `localStorage` or anything like it. One key per user and device. */
export class StorageCursorStore implements CursorStore {
  readonly #storage: KeyValueStorage;
  readonly #key: string;

  constructor(storage: KeyValueStorage, key: string) {
    this.#storage = storage;
    this.#key = key;
  }

  /** Damaged text counts as no cursor: the device starts as a new one. */
  load(): Cursor | undefined {
    const text = this.#storage.getItem(this.#key);
    if (text === null) return undefined;
    try {
      const cursor: unknown = JSON.parse(text);
      return isCursor(cursor) ? cursor : undefined;
    } catch {
      return undefined;
    }
  }

  save(cursor: Cursor): void {
    this.#storage.setItem(this.#key, JSON.stringify(cursor));
  }
}

function isCursor(value: unknown): value is Cursor {
  if (typeof value !== "object" || value === null) return false;
  const cursor = value as Partial<Cursor>;
  return (
    typeof cursor.epoch === "string" &&
    Number.isSafeInteger(cursor.timeline) &&
    typeof cursor.groups === "object" &&
    cursor.groups !== null
  );
}

export function copyCursor(cursor: Cursor): Cursor {
  const groups: Cursor["groups"] = {};
  for (const group in cursor.groups) {
    const position = cursor.groups[group];
    if (position !== undefined) groups[group] = { epoch: position.epoch, seq: position.seq };
  }
  const copy: Cursor = { epoch: cursor.epoch, timeline: cursor.timeline, groups };
  if (cursor.marks !== undefined) copy.marks = cursor.marks;
  return copy;
}
