/**
 * What must be found according to the plan: the lines of each conversation, and each user's conversations as that user
 * names them.
 */
import type { WireAddress } from "../../src/protocol/frames.ts";
import type { Plan } from "./plan.ts";

/** `a` and `b` are equal for notes to self. `lines` are indices into `plan.lines`. */
export type DirectConversation = { a: string; b: string; lines: number[] };

export type Expectations = {
  conversationsOf: Map<string, Set<WireAddress>>;
  directs: DirectConversation[];
  /** Group address to indices into `plan.lines`. */
  groupLines: Map<WireAddress, number[]>;
};

export function expectationsOf(plan: Plan): Expectations {
  const conversationsOf = new Map<string, Set<WireAddress>>(plan.users.map((user) => [user.id, new Set()]));
  const groupLines = new Map<WireAddress, number[]>();
  const directs = new Map<string, DirectConversation>();
  for (const group of plan.groups) {
    groupLines.set(group.address, []);
    for (const member of group.members) conversationsOf.get(member)?.add(group.address);
  }
  for (const [at, line] of plan.lines.entries()) {
    const ofGroup = groupLines.get(line.to);
    if (ofGroup !== undefined) ofGroup.push(at);
    else directOf(directs, line.from, line.to.slice(1)).lines.push(at);
  }
  for (const { a, b } of directs.values()) {
    conversationsOf.get(a)?.add(`@${b}`);
    conversationsOf.get(b)?.add(`@${a}`);
  }
  return { conversationsOf, directs: [...directs.values()], groupLines };
}

function directOf(directs: Map<string, DirectConversation>, from: string, to: string): DirectConversation {
  const [a, b] = from < to ? [from, to] : [to, from];
  const key = `${a} ${b}`;
  const known = directs.get(key);
  if (known !== undefined) return known;
  const made: DirectConversation = { a, b, lines: [] };
  directs.set(key, made);
  return made;
}
