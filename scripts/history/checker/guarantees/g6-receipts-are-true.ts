/** G6: a receipt says what a device of the receiver has said, and marks never go back. */
import { receiptKey, type Guarantee, type Told, type World } from "../guarantee.ts";
import type { Message } from "../messages.ts";

/** A receipt whose message, or whose place with the receiver, nobody had seen when it came. */
type Open = { told: Told; received: number; read: number };

export function receiptsAreTrue(world: World): Guarantee {
  const open: Open[] = [];
  return {
    told(told) {
      neverBack(world, told);
      const by = world.people.known(told.by);
      if (by === undefined && !world.header.isComplete) return;
      if (told.conversation.startsWith("#")) return saidInGroup(world, told);
      const { timeline } = told.person;
      const received = by?.received.get(`@${told.by}`) ?? 0;
      const one = { told, received, read: by?.read.get(timeline) ?? 0 };
      if (world.header.order !== "total" || !said(world, one)) open.push(one);
    },
    end() {
      for (const one of open) {
        const by = world.people.known(one.told.by);
        if (world.header.order !== "total") {
          one.received = by?.received.get(`@${one.told.by}`) ?? 0;
          one.read = by?.read.get(one.told.person.timeline) ?? 0;
        }
        if (!said(world, one)) neverSaid(world, one);
      }
    },
    marks({ marks, before, user, line }) {
      if (marks >= before.marks || world.header.order !== "total") return;
      const problem = `welcome says that ${user} got ${marks} receipts, and one had the mark ${before.marks}`;
      world.violations.add("G6", [before.line, line], problem);
    },
  };
}

/** @returns false if the receiver has not said it, or nobody knows the message */
function said(world: World, { told, received, read }: Open): boolean {
  const seq = messageOf(world, told)?.receiverSeq ?? 0;
  return seq > 0 && seq <= (told.kind === "read" ? read : Math.max(received, read));
}

function messageOf({ logs }: World, { person, conversation, seq }: Told): Message | undefined {
  const message = logs.of(person.timeline).places.get(seq)?.message;
  return message?.to === conversation ? message : undefined;
}

function neverSaid(world: World, { told, received, read }: Open): void {
  const { kind, conversation, by, seq, line, person } = told;
  const message = messageOf(world, told);
  const what = kind === "read" ? read : Math.max(received, read);
  // What nobody saw is not decided, except where the receiver's devices never said anything.
  if (what > 0 && (message === undefined || message.receiverSeq === 0)) return;
  const place = message === undefined || message.receiverSeq === 0 ? "" : `, which ${by} has at ${message.receiverSeq}`;
  const problem = `${person.user} was told that ${by} has ${kind} ${conversation} up to ${seq}${place}; ${by} had said ${what}`;
  world.violations.add("G6", [message?.receiverLine ?? 0, line], problem);
}

function saidInGroup({ people, header, violations }: World, { person, kind, conversation, by, seq, line }: Told): void {
  if (header.order !== "total") return;
  const received = people.known(by)?.received.get(conversation) ?? 0;
  const read = people.known(by)?.read.get(conversation) ?? 0;
  const what = kind === "read" ? read : Math.max(received, read);
  if (seq <= what) return;
  const problem = `${person.user} was told that ${by} has ${kind} ${conversation} up to ${seq}; ${by} had said ${what}`;
  violations.add("G6", [line], problem);
}

function neverBack({ violations, header }: World, told: Told): void {
  const { kind, conversation, by, seq, mark, line, before, toldHere, markHere, person } = told;
  const key = receiptKey(kind, conversation, by);
  const here = toldHere.get(key);
  const earlier = conversation.startsWith("#") || header.order !== "total" ? undefined : before.receipts.get(key);
  for (const last of [here, earlier]) {
    if (last === undefined || seq >= last.seq) continue;
    const problem = `${person.user} was told that ${by} has ${kind} ${conversation} up to ${seq}, after ${last.seq}`;
    return violations.add("G6", [last.line, line], problem);
  }
  if (mark !== undefined && mark <= markHere)
    violations.add("G6", [line], `${person.user} got a receipt with mark ${mark} after one with ${markHere}`);
}
