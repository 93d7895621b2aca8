/** G8: what was acked to its sender is in the receiver's timeline exactly once. */
import type { Guarantee, World } from "../guarantee.ts";
import type { Log } from "../logs.ts";
import type { Message } from "../messages.ts";

export function handedOver(world: World): Guarantee {
  const { violations } = world;
  return {
    seen({ log, seq, message, line }) {
      if (message === undefined || log.isGroup || log.address !== message.to || message.to === `@${message.from}`)
        return;
      if (message.receiverSeq !== 0 && message.receiverSeq !== seq) {
        const problem = `message ${message.id} stands in ${log.address} at ${message.receiverSeq} and at ${seq}`;
        return violations.addIf(log.hasOneEpoch, "G8", [message.receiverLine, line], problem);
      }
      if (message.receiverSeq === 0) message.receiverLine = line;
      message.receiverSeq = seq;
    },
    end(settled) {
      if (settled) for (const [to, missing] of missingByReceiver(world)) lost(world, to, missing);
    },
  };
}

/** Acked direct messages that no device of the receiver ever saw. */
function missingByReceiver({ messages, people }: World): Map<string, Message[]> {
  const missing = new Map<string, Message[]>();
  for (const { message, ackLine } of messages.sends()) {
    if (message === undefined || ackLine === 0 || message.receiverSeq !== 0) continue;
    const { to, from } = message;
    if (to.startsWith("#") || to === `@${from}` || people.known(to.slice(1)) === undefined) continue;
    missing.set(to, [...(missing.get(to) ?? []), message]);
  }
  return missing;
}

/** Each of them must be at a place of which nobody knows what is there; if there are fewer of these, some are lost. */
function lost({ logs, violations }: World, to: string, missing: readonly Message[]): void {
  const log = logs.of(to);
  const unknown = unknownPlaces(log);
  if (log.places.size === 0 || !log.hasOneEpoch() || missing.length <= unknown) return;
  const [first] = missing;
  const problem =
    `${missing.length} messages to ${to} were acked, such as ${first?.id} from ${first?.from}, and not seen in its timeline, ` +
    `which has ${unknown} places that nobody saw`;
  violations.add("G8", [first?.send?.ackLine ?? 0, log.headLine], problem);
}

function unknownPlaces(log: Log): number {
  let unknown = log.head;
  for (const { message, what } of log.places.values()) if (message !== undefined || what !== ERASED) unknown--;
  return unknown;
}

const ERASED = "an erased message";
