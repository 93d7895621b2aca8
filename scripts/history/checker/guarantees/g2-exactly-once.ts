/** G2: one (user, ref) is one message for ever, and a ref with another content is refused. */
import type { Ack, Guarantee, Sighting, World } from "../guarantee.ts";
import type { Message, Send } from "../messages.ts";

export function exactlyOnce(world: World): Guarantee {
  const { violations } = world;
  return {
    acked(ack) {
      if (ack.tried.send.ackLine > 0) ackedAgain(world, ack);
      else if (ack.isDuplicate && world.header.isComplete && ack.tried.send.tries === 1) {
        const problem = `${name(ack.tried.send)} was sent once, and its ack says that it is a duplicate`;
        violations.add("G2", [ack.tried.line, ack.line], problem);
      }
      const other = ack.message.send;
      if (other !== undefined && other !== ack.tried.send)
        violations.add("G2", [other.ackLine, ack.line], `${name(other)} and ${name(ack.tried.send)} are one message`);
    },
    seen(sighting) {
      const { message } = sighting;
      if (message === undefined) return;
      if (isAuthors(sighting, message)) onePlace(world, sighting, message);
      const { send } = message;
      if (send?.message === undefined || send.message === message || send.isForgotten) return;
      violations.add(
        "G2",
        [send.ackLine, sighting.line],
        `${name(send)} is message ${send.message.id}, and message ${message.id}`,
      );
    },
    end(settled) {
      if (settled && world.header.isComplete) doubled(world);
    },
  };
}

function ackedAgain({ violations }: World, { tried, id, seq, isDuplicate, line }: Ack): void {
  const { send } = tried;
  const lines = [send.ackLine, tried.line, line];
  // Without `retry`, an old ref may be a new message.
  if (send.isForgotten) return;
  if (send.message?.id !== id)
    return violations.add("G2", lines, `${name(send)} is message ${send.message?.id}, and later message ${id}`);
  if (send.acked !== tried.content)
    return violations.add("G2", lines, `${name(send)} was acked with another text or address, without ref_conflict`);
  const first = send.message.authorSeq;
  if (first !== 0 && first !== seq)
    return violations.add("G2", lines, `${name(send)} has seq ${first}, and its retry was told ${seq}`);
  if (tried.isRepeat && !isDuplicate)
    violations.add("G2", lines, `the retry of ${name(send)} was acked without "duplicate"`);
}

/** In the author's timeline, or in the group's log. */
function onePlace({ violations }: World, { log, seq, line }: Sighting, message: Message): void {
  if (message.authorSeq !== 0 && message.authorSeq !== seq) {
    const problem = `message ${message.id} stands in ${log.address} at ${message.authorSeq} and at ${seq}`;
    violations.addIf(log.hasOneEpoch, "G2", [message.authorLine, line], problem);
    return;
  }
  if (message.authorSeq === 0) message.authorLine = line;
  message.authorSeq = seq;
}

/** Messages that no ack belongs to, beside one of the same content that has one. */
function doubled({ messages, violations }: World): void {
  const acked = new Map<string, Send>();
  for (const send of messages.sends()) if (send.message !== undefined) acked.set(contentKey(send.message), send);
  for (const message of messages.all()) {
    const send = acked.get(contentKey(message));
    if (message.send !== undefined || message.isEdited || send === undefined) continue;
    if (hasUnacked(messages.sends(), message)) continue;
    const problem = `message ${message.id} was shown, beside ${send.message?.id}: ${name(send)} became two messages`;
    violations.add("G2", [send.firstLine, send.ackLine, message.line], problem);
  }
}

function hasUnacked(sends: Iterable<Send>, { from, to, text }: Message): boolean {
  for (const send of sends)
    if (send.user === from && send.message === undefined)
      if (send.contents.some((content) => content.to === to && content.text === text)) return true;
  return false;
}

const contentKey = ({ from, to, text }: Message): string => `${from} ${to} ${text}`;
const isAuthors = ({ log }: Sighting, { from }: Message): boolean => log.isGroup || log.address === `@${from}`;
const name = ({ user, ref }: Send): string => `ref ${JSON.stringify(ref)} of ${user}`;
