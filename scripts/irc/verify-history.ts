/**
 * Reads conversations back from history pages and compares them with the plan and with each other: every line once,
 * each sender's in the order of the logs, with its text; both sides of a direct conversation equal, and all compared
 * members of a group equal.
 */
import { history } from "../../src/client/http.ts";
import type { WireAddress, WireMessage } from "../../src/protocol/frames.ts";
import { forEachBounded } from "./bounded.ts";
import type { Calls } from "./calls.ts";
import type { ExpectedMessages } from "./device-view.ts";
import type { DirectConversation, Expectations } from "./expectations.ts";
import type { Plan, PlannedGroup } from "./plan.ts";
import { addDifferences, compareOrder, noDifferences, type Differences, type SeenMessage } from "./stream-check.ts";

const PAGE = 200;
const AT_ONCE_MAX = 24;

export type HistoryMessage = SeenMessage & { ref?: string };
export type HistoryInput = {
  plan: Plan;
  expectations: Expectations;
  /** The id of each line, as `sent` gave it. */
  ids: string[];
  tokens: Map<string, string>;
  calls: Calls;
  /** Members of each group whose pages are read. */
  membersMax: number;
  onConversation: () => void;
};
export type HistoryResult = {
  differences: Differences;
  /** What each user must see, to compare the devices with. */
  expected: Map<string, ExpectedMessages>;
  pages: number;
};

/** Number of conversation sides that will be read, for progress. */
export function sidesToRead(plan: Plan, expectations: Expectations, membersMax: number): number {
  const groups = plan.groups.reduce((sum, group) => sum + Math.min(membersMax, group.members.length), 0);
  return groups + expectations.directs.reduce((sum, { a, b }) => sum + (a === b ? 1 : 2), 0);
}

export async function verifyHistory(input: HistoryInput): Promise<HistoryResult> {
  const reader = new HistoryReader(input);
  await forEachBounded(input.plan.groups, AT_ONCE_MAX, (group) => reader.group(group));
  await forEachBounded(input.expectations.directs, AT_ONCE_MAX, (direct) => reader.direct(direct));
  return reader.result;
}

class HistoryReader {
  readonly result: HistoryResult;

  constructor(private readonly input: HistoryInput) {
    const expected = new Map<string, ExpectedMessages>(input.plan.users.map((user) => [user.id, new Map()]));
    this.result = { differences: noDifferences(), expected, pages: 0 };
  }

  async group(group: PlannedGroup): Promise<void> {
    const [first, ...others] = spread(group.members, this.input.membersMax);
    if (first === undefined) return;
    const messages = await this.read(first, group.address);
    for (const member of group.members) this.result.expected.get(member)?.set(group.address, messages);
    this.count(
      compareWithPlan(
        this.input.plan,
        this.input.ids,
        this.input.expectations.groupLines.get(group.address) ?? [],
        messages,
      ),
    );
    for (const member of others) this.count(compareCopies(messages, await this.read(member, group.address), true));
  }

  async direct({ a, b, lines }: DirectConversation): Promise<void> {
    const { plan, ids } = this.input;
    const ofA = await this.read(a, `@${b}`);
    const ofB = a === b ? ofA : await this.read(b, `@${a}`);
    this.result.expected.get(a)?.set(`@${b}`, ofA);
    this.result.expected.get(b)?.set(`@${a}`, ofB);
    for (const author of new Set([a, b])) {
      const own = (author === a ? ofA : ofB).filter((message) => message.from === author);
      const theirs = (author === a ? ofB : ofA).filter((message) => message.from === author);
      const linesOfAuthor = lines.filter((line) => plan.lines[line]?.from === author);
      this.count(compareWithPlan(plan, ids, linesOfAuthor, withoutOtherImports(own, linesOfAuthor, plan)));
      this.count(compareCopies(own, theirs, false));
    }
  }

  private count(differences: Differences): void {
    addDifferences(this.result.differences, differences);
  }

  private async read(user: string, conversation: WireAddress): Promise<HistoryMessage[]> {
    const token = this.input.tokens.get(user) ?? "";
    const messages: HistoryMessage[] = [];
    for (let after: number | undefined = 0; after !== undefined;) {
      const from: number = after;
      const page = await this.input.calls.call({ token }, (server) =>
        history(server, conversation, { after: from, limit: PAGE }),
      );
      this.result.pages++;
      for (const message of page.messages) messages.push(kept(message));
      after = page.after;
    }
    this.input.onConversation();
    return messages;
  }
}

function kept({ id, seq, from, text, ref }: WireMessage): HistoryMessage {
  return { id, seq, from, ...(text === undefined ? {} : { text }), ...(ref === undefined ? {} : { ref }) };
}

/** Drops messages of other imports between the same two users: their refs differ. */
function withoutOtherImports(messages: HistoryMessage[], lines: number[], plan: Plan): HistoryMessage[] {
  const ours = new Set(lines.map((line) => plan.lines[line]?.ref));
  return messages.filter((message) => message.ref === undefined || ours.has(message.ref));
}

/** Compares sender by sender, since only that order is guaranteed. A line with another text counts as lost. */
export function compareWithPlan(plan: Plan, ids: string[], lines: number[], messages: HistoryMessage[]): Differences {
  const sum = noDifferences();
  const texts = new Map(lines.map((line) => [ids[line] ?? "", plan.lines[line]?.text]));
  const expected = Map.groupBy(lines, (line) => plan.lines[line]?.from ?? "");
  const actual = Map.groupBy(messages, (message) => message.from);
  for (const author of new Set([...expected.keys(), ...actual.keys()])) {
    const expectedIds = (expected.get(author) ?? []).map((line) => ids[line] ?? "");
    addDifferences(
      sum,
      compareOrder(
        expectedIds,
        (actual.get(author) ?? []).map((message) => message.id),
      ),
    );
  }
  sum.lost += messages.filter((message) => texts.has(message.id) && texts.get(message.id) !== message.text).length;
  sum.misordered += messages.filter((message, at) => at > 0 && message.seq <= (messages[at - 1]?.seq ?? 0)).length;
  return sum;
}

/** Compares two readings of the same conversation. `sameSeqs`: in a group, where all members have the same seqs. */
export function compareCopies(one: HistoryMessage[], other: HistoryMessage[], sameSeqs: boolean): Differences {
  const sum = compareOrder(
    one.map((message) => message.id),
    other.map((message) => message.id),
  );
  const byId = new Map(one.map((message) => [message.id, message]));
  for (const message of other) {
    const twin = byId.get(message.id);
    if (twin === undefined) continue;
    if (twin.text !== message.text) sum.lost++;
    if (sameSeqs && twin.seq !== message.seq) sum.misordered++;
  }
  return sum;
}

/** Picks at most `max` items, evenly spread, with the first and the last. */
export function spread<T>(items: T[], max: number): T[] {
  if (items.length <= max) return items;
  if (max <= 1) return items.slice(0, max);
  return Array.from({ length: max }, (_, at) => items[Math.round((at * (items.length - 1)) / (max - 1))] as T);
}
