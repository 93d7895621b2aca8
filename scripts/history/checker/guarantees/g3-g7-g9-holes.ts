/**
 * Entries that a reader did not get. If nobody ever saw them, the log has a hole (G3). If somebody did, the reader's
 * resume or page left them out (G7), or its live connection dropped them silently (G9). That is known at the end.
 */
import type { Guarantee, Hole, World } from "../guarantee.ts";
import type { GuaranteeName } from "../violations.ts";

export function holes(world: World): Guarantee {
  const { violations } = world;
  const found: Hole[] = [];
  return {
    hole: (hole) => void found.push(hole),
    misled: (problem, lines) => violations.add("G7", lines, problem),
    open({ user, device, log, seq, line }) {
      if (seq >= log.head) return;
      const problem = `${user}'s device ${device} is connected and has ${log.address} up to ${seq}, and it goes to ${log.head}`;
      violations.addIf(() => log.isGroup || log.hasOneEpoch(), "G9", [line, log.headLine], problem);
    },
    end() {
      for (const hole of found) {
        if (hole.log.isGroup && hasLeft(hole)) continue;
        const seen = seenIn(hole);
        const guarantee: GuaranteeName = seen === undefined ? "G3" : hole.isLive ? "G9" : "G7";
        violations.add(
          guarantee,
          [...(seen === undefined ? [] : [seen.line]), ...hole.lines],
          problemOf(hole, seen?.seq),
        );
      }
    },
  };
}

/** Who is out of a group gets nothing of it any more, also nothing from before. */
function hasLeft({ log, from, to, user }: Hole): boolean {
  for (let seq = from; seq <= to; seq++) {
    const what = log.places.get(seq)?.what;
    if (what?.startsWith(`left ${user} `) === true || what?.startsWith("dissolved ") === true) return true;
  }
  return false;
}

/** The first entry of it that anybody saw. */
function seenIn({ log, from, to, epoch }: Hole): { seq: number; line: number } | undefined {
  for (let seq = from; seq <= to; seq++) {
    const place = log.places.get(seq);
    if (place !== undefined && (place.epoch === undefined || epoch === undefined || place.epoch === epoch))
      return place;
  }
  return undefined;
}

function problemOf({ log, from, to, user, device, isLive }: Hole, seen: number | undefined): string {
  const range = from === to ? `seq ${from}` : `seqs ${from} to ${to}`;
  const why =
    seen === undefined
      ? `, and nobody ever saw ${from === to ? "it" : "them"}`
      : `, and seq ${seen} was seen by others`;
  const when = isLive ? "on a live connection" : "by catching up";
  return `${user}'s device ${device} did not get ${range} of ${log.address} ${when}${why}`;
}
