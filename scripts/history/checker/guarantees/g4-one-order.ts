/**
 * G4: everybody sees the same entry at the same place, in the order of the log; and what one device sends in one order
 * is committed in that order.
 */
import type { Ack, Guarantee, Sighting, Try, World } from "../guarantee.ts";
import type { Log } from "../logs.ts";
import type { Message } from "../messages.ts";
import { SendOrder } from "./send-order.ts";

export function oneOrder(world: World): Guarantee {
  const { violations } = world;
  const orders = new SendOrder((lines, problem) => violations.add("G4", lines, problem));
  return {
    tried: (tried: Try) => orders.tried(tried),
    refused: (tried) => orders.answered(tried),
    closed: (connection) => orders.closed(connection),
    acked(ack) {
      aboveFloor(world, ack);
      orders.acked(ack);
    },
    seen(sighting) {
      const { place, log, seq, line } = sighting;
      if (sighting.isFirst || !isOther(sighting)) return;
      const problem = `${log.address} has ${sighting.what} at ${seq} here, and ${place.what} there before`;
      if (place.epoch !== undefined && place.epoch === sighting.epoch)
        violations.add("G4", [place.line, line], problem);
      else violations.addIf(log.hasOneEpoch, "G4", [place.line, line], problem);
    },
    again(log, seq, at, lines, who) {
      violations.add("G4", lines, `${who} got seq ${seq} of ${log.address} when it had entries up to ${at}`);
    },
    disordered: (problem, lines) => violations.add("G4", lines, problem),
    end: () => sameOrder(world),
  };
}

const ERASED = "an erased message";

function isOther({ place, what, isErased }: Sighting): boolean {
  return place.what !== what && !isErased && place.what !== ERASED;
}

/** A log grows at its end: what is sent after something was seen comes behind it. */
function aboveFloor({ header, violations }: World, { tried, seq, log, line, isDuplicate }: Ack): void {
  const { send } = tried;
  if (header.order !== "total" || isDuplicate || seq > send.floor || send.contents.length > 1) return;
  const problem = `ref ${JSON.stringify(send.ref)} of ${send.user} got seq ${seq} of ${log.address}, which went to ${send.floor} when it was sent`;
  violations.addIf(log.hasOneEpoch, "G4", [send.firstLine, line], problem);
}

/** What one author sent to one receiver has the same order in both timelines. */
function sameOrder({ logs, violations }: World): void {
  for (const log of logs.all()) {
    if (log.isGroup || !log.hasOneEpoch()) continue;
    const last = new Map<string, Message>();
    for (const message of receivedIn(log)) {
      const before = last.get(message.from);
      if (before !== undefined && before.authorSeq > message.authorSeq) {
        const problem = `${log.address} has message ${message.id} behind ${before.id}, and their author ${message.from} has it before`;
        violations.add("G4", [before.authorLine, message.authorLine, message.receiverLine], problem);
      } else last.set(message.from, message);
    }
  }
}

/** In the order of the receiver's timeline. */
function receivedIn({ address, places }: Log): Message[] {
  const received: Message[] = [];
  for (const { message } of places.values())
    if (message !== undefined && `@${message.from}` !== address && message.authorSeq > 0 && message.receiverSeq > 0)
      received.push(message);
  return received.sort((a, b) => a.receiverSeq - b.receiverSeq);
}
