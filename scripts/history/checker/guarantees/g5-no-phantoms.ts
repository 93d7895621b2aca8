/** G5, the other half: what is shown was sent, by its author, with that text, before it was shown, and was not refused. */
import type { Guarantee, World } from "../guarantee.ts";
import type { Message, Send } from "../messages.ts";

export function noPhantoms(world: World): Guarantee {
  return {
    end(settled) {
      for (const message of world.messages.all()) if (message.send !== undefined) asSent(world, message, message.send);
      if (world.header.isComplete) orphans(world, settled);
    },
  };
}

function asSent({ header, violations }: World, message: Message, send: Send): void {
  const content = send.contents.find(({ to, text }) => to === message.to && text === message.text);
  if (content === undefined && !message.isEdited) {
    const problem = `message ${message.id} was shown with a text or address that ${send.user} never sent as ${send.ref}`;
    return violations.add("G5", [send.firstLine, message.line], problem);
  }
  if (header.order === "total" && message.line < send.firstLine)
    violations.add("G5", [message.line, send.firstLine], `message ${message.id} was shown before it was sent`);
}

/** Messages without an ack: each needs a send of that content which may have been accepted. */
function orphans({ messages, violations }: World, settled: boolean): void {
  const all = [...messages.all()].filter((message) => message.send === undefined && !message.isEdited);
  if (all.length === 0) return;
  const sends = new Map<string, Send[]>();
  for (const send of messages.sends())
    for (const { to, text } of send.contents) {
      const key = `${send.user} ${to} ${text}`;
      sends.set(key, [...(sends.get(key) ?? []), send]);
    }
  for (const message of all) {
    const sent = sends.get(`${message.from} ${message.to} ${message.text}`) ?? [];
    const problem = orphanProblem(message, sent, settled);
    if (problem !== undefined)
      violations.add("G5", [...sent.slice(0, 3).map((one) => one.firstLine), message.line], problem);
  }
}

function orphanProblem({ id, from, to }: Message, sent: readonly Send[], settled: boolean): string | undefined {
  if (sent.length === 0) return `message ${id} was shown, and ${from} never sent such a text to ${to}`;
  const refused = sent.filter(({ tries, refusedTries }) => tries === refusedTries);
  if (refused.length === sent.length && settled) return `message ${id} was shown, and every try to send it was refused`;
  return undefined;
}
