/**
 * G1: what was acked is there. G5: what was shown to anybody was durable, so it is there as well. Both are decided by
 * what was asked for later: a page that should list it, and the end of the log that the server tells.
 */
import type { Guarantee, Head, Page, World } from "../guarantee.ts";
import type { Place } from "../logs.ts";

export function durable(world: World): Guarantee {
  const { violations, header } = world;
  // What a user knew is what all devices of the user knew, in one order.
  if (header.order !== "total") return {};
  return {
    head({ log, seq, epoch, before, user, line, where }: Head) {
      const known = before.known.get(log);
      if (known === undefined || known.epoch !== epoch || seq >= known.shown) return;
      const isAcked = known.acked > seq;
      const [last, since] = isAcked ? [known.acked, known.ackedLine] : [known.shown, known.shownLine];
      const how = isAcked ? "acked to" : "shown to";
      const problem = `${where} says that ${log} ends at ${seq}, and ${last} had been ${how} ${user}`;
      violations.add(isAcked ? "G1" : "G5", [since, before.line, line], problem);
    },
    page(page: Page) {
      for (const place of placesOf(page)) {
        if (page.seqs.has(place.seq) || place.line >= page.before.line) continue;
        const isAcked = place.ackLine > 0 && place.ackLine < page.before.line;
        const how = isAcked ? "acked" : "shown";
        const problem = `${page.user} got a page of ${page.log.address} without seq ${place.seq}, which had been ${how}`;
        const lines = [isAcked ? place.ackLine : place.line, page.before.line, page.line];
        violations.addIf(page.log.hasOneEpoch, isAcked ? "G1" : "G5", lines, problem);
      }
    },
  };
}

/** What was seen in the range of the page. Behind what it says only what this user has seen. */
function* placesOf({ log, conversation, from, to, said, seqs, before }: Page): Iterable<Place> {
  const known = before.known.get(log.address)?.shown ?? 0;
  let last = Math.max(known, said);
  for (const seq of seqs) if (seq > last) last = seq;
  for (let seq = from; seq <= Math.min(to, last); seq++) {
    const place = log.places.get(seq);
    if (place === undefined) continue;
    if (conversation === undefined || isIn(place, log.address, conversation)) yield place;
  }
}

function isIn({ message }: Place, log: string, conversation: string): boolean {
  if (message === undefined) return false;
  if (log.startsWith("#")) return true;
  return `@${message.from}` === log ? message.to === conversation : `@${message.from}` === conversation;
}
