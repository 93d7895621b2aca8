/**
 * The code that may read the wall clock, or compare its times, as a list with a reason for each. A machine's clock may
 * be set ahead or back, by years. So durations come from the monotonic clock, and orders from seqs, ranks or counters.
 * The list is for retention, which means calendar days, and for times that people see.
 *
 * A line that reads or compares and is not in the list is refused. So is an entry of the list that matches no line any
 * more.
 */

import type { SourceFile } from "./import-rules.ts";

type Allowed = {
  path: string;
  /** A part of the line. */
  code: string;
  why: string;
};

const SHOWN = "shown to people";
const RETENTION = "retention means the calendar";
const UNCHANGED = "whether a file is the same, not which one is newer";

export const ALLOWED: readonly Allowed[] = [
  { path: "src/base/clock.ts", code: "Date.now()", why: "the clock itself" },
  { path: "src/base/logger.ts", code: "new Date(now())", why: SHOWN },
  { path: "src/cli/describe-entry.ts", code: "new Date(unixMs)", why: SHOWN },
  { path: "src/cli/keys.ts", code: "const revokedAt = surroundings.clock.now()", why: SHOWN },
  { path: "src/cli/keys.ts", code: "new Date(unixMs)", why: SHOWN },
  { path: "src/cli/with-shards.ts", code: "clock.now,", why: "the times of log lines" },
  { path: "src/cli/repair-mend.ts", code: "clock.now,", why: "the times of log lines" },
  { path: "src/domain/refs.ts", code: "nowMs - seen.at", why: "both are monotonic" },
  { path: "src/node/node.ts", code: "clock.now,", why: "the times of log lines" },
  { path: "src/node/maintenance/expiring.ts", code: "<= clock.now()", why: RETENTION },
  { path: "src/node/maintenance/expiring.ts", code: "const now = this.#parts.clock.now()", why: RETENTION },
  { path: "src/node/maintenance/expiring.ts", code: "expiresAt(", why: RETENTION },
  { path: "src/node/maintenance/expiring.ts", code: "nowMs: clock.now()", why: RETENTION },
  { path: "src/home/accounts/accounts.ts", code: "createdAt: this.#clock.now()", why: SHOWN },
  {
    path: "src/home/accounts/accounts.ts",
    code: "a.cell.createdAt - b.cell.createdAt",
    why: "cells that have no login number",
  },
  { path: "src/home/accounts/api-keys.ts", code: "createdAt: clock.now()", why: SHOWN },
  { path: "src/home/accounts/api-keys.ts", code: "mtimeNs", why: UNCHANGED },
  { path: "src/home/asks/answer-change-group.ts", code: "const at = shard.clock.now()", why: SHOWN },
  { path: "src/home/asks/answer-create-group.ts", code: "const at = shard.clock.now()", why: SHOWN },
  { path: "src/home/accounts/tokens.ts", code: ".setIssuedAt(", why: "tokens mean the calendar, where they expire" },
  { path: "src/home/accounts/tokens.ts", code: "currentDate:", why: "tokens mean the calendar, where they expire" },
  { path: "src/home/erasing/erase-user.ts", code: "requestedAt: shard.clock.now()", why: SHOWN },
  { path: "src/home/erasing/erase-user.ts", code: "finishedAt: request.finishedAt ?? shard.clock.now()", why: SHOWN },
  {
    path: "src/node/mend/erasure-mender.ts",
    code: "entry.sentAt <= at",
    why: "an erasure that a repair undid: how far it went in a group is known by times alone",
  },
  { path: "src/home/erasing/erasure.ts", code: "const at = shard.clock.now()", why: SHOWN },
  { path: "src/home/erasing/expiry.ts", code: "sentAt < cutoff", why: RETENTION },
  { path: "src/home/erasing/expiry.ts", code: "expiresAt(", why: RETENTION },
  { path: "src/home/erasing/retention.ts", code: "oldestAt >= cutoff", why: RETENTION },
  { path: "src/home/erasing/retention.ts", code: "sentAt < cutoff", why: RETENTION },
  { path: "src/node/mend/mend.ts", code: "const at = host.clock.now()", why: SHOWN },
  {
    path: "src/home/sending/accept-post.ts",
    code: "this.sentAt = shard.clock.now()",
    why: `${SHOWN}; ranks never follow it back`,
  },
  {
    path: "src/home/sending/send-direct.ts",
    code: "const sentAt = shard.clock.now()",
    why: `${SHOWN}; ranks never follow it back`,
  },
  { path: "storage/tools/inventory.ts", code: "mtimeNs", why: UNCHANGED },
  { path: "storage/tools/manifest.ts", code: "mtimeNs", why: UNCHANGED },
  { path: "storage/tools/verify-files.ts", code: "mtimeNs", why: UNCHANGED },
  { path: "storage/vfs/file-system.ts", code: "changedNs: stat.mtimeNs", why: UNCHANGED },
];

const COMMENT = /^[ \t]*(?:\/\/.*|\/\*[^]*?\*\/)/gm;
/** Reads the time of day, or that of a file. */
const ASKS = /(?<!performance)\.now\b|\bDate\b|\b[mc]time|\bbirthtime/;
const TIME = "(?:sentAt|createdAt|requestedAt|finishedAt|erasedAt|deletedAt|editedAt|revokedAt|issuedAt|oldestAt)";
/** Compares such times, calculates with them, or sorts by them. */
const COMPARES = new RegExp(
  [
    `\\b${TIME}\\b\\)?\\s*(?:[<>]=?|[-+])\\s`,
    `\\s(?:[<>]=?|[-+])\\s[\\w.#!?(]*\\b${TIME}\\b`,
    `\\.at\\s*(?:[<>]|-\\s)|(?:[<>]|\\s-)\\s*\\w+\\.at\\b`,
    `\\b(?:min|max|toSorted|sort)\\([^)]*\\b${TIME}\\b`,
  ].join("|"),
);

/** One line for each use that is not allowed, and for each allowed one that is not there. */
export function clockViolations(files: readonly SourceFile[], allowed: readonly Allowed[] = ALLOWED): string[] {
  const used = new Set<Allowed>();
  const refused = files.flatMap(({ path, text }) =>
    usesOf(text).flatMap(({ line, code }) => {
      const rule = allowed.find((one) => one.path === path && code.includes(one.code));
      if (rule === undefined) return [`${path}:${line}: ${problemOf(code)}: ${code}`];
      used.add(rule);
      return [];
    }),
  );
  const unused = allowed.filter((one) => !used.has(one) && files.some(({ path }) => path === one.path));
  return [...refused, ...unused.map(({ path, code }) => `${path}: clock-rules.ts allows ${code}, which is not there`)];
}

function usesOf(source: string): { line: number; code: string }[] {
  const text = source.replaceAll(COMMENT, (comment) => comment.replaceAll(/[^\n]/g, " "));
  return text
    .split("\n")
    .map((code, index) => ({ line: index + 1, code: code.trim() }))
    .filter(({ code }) => ASKS.test(code) || COMPARES.test(code));
}

const problemOf = (code: string): string =>
  ASKS.test(code)
    ? "reads the wall clock; durations are monotonicMs(), and an order is not a time (scripts/testing/clock-rules.ts)"
    : "compares times that a clock gave, which may have jumped (scripts/testing/clock-rules.ts)";
