/** Entries as text for people. The store's tools know only bytes; this file knows messages. */
import { readGroupEntry, readTimelineEntry } from "../domain/entries.ts";
import type { Described } from "../../storage/tools/plain-database.ts";
import type { StoredEntry } from "../../storage/types.ts";

/** Empty for a kind that this version does not know. */
export function describeEntry(stream: string, entry: StoredEntry): Described {
  try {
    if (stream.startsWith("#")) return ofGroup(entry);
    if (stream.startsWith("@")) return ofTimeline(stream, entry);
    return {};
  } catch {
    return {};
  }
}

function ofTimeline(stream: string, entry: StoredEntry): Described {
  const read = readTimelineEntry(entry);
  switch (read.kind) {
    case "sent":
      return { kind: read.kind, time: timeOf(read.sentAt), sender: stream, text: read.text };
    case "taken":
      return { kind: read.kind, time: timeOf(read.sentAt), sender: entry.lane, text: read.text };
    case "membership":
      return {
        kind: read.change,
        time: timeOf(read.at),
        sender: stream,
        text: `${read.change} ${entry.lane} at ${read.groupSeq}`,
      };
    default:
      return other(read);
  }
}

function ofGroup(entry: StoredEntry): Described {
  const read = readGroupEntry(entry);
  switch (read.kind) {
    case "posted":
      return { kind: read.kind, time: timeOf(read.sentAt), sender: `@${read.author}`, text: read.text };
    case "changed":
      return {
        kind: read.detail.change,
        time: timeOf(read.detail.at),
        sender: `@${read.detail.by}`,
        text: JSON.stringify(read.detail),
      };
    default:
      return other(read);
  }
}

/** A kind of which only the name is shown. */
const other = (read: { kind: string }): Described => ({ kind: read.kind });

const timeOf = (unixMs: number): string => new Date(unixMs).toISOString();
