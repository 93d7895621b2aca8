/** Asks one question about each of many users: of their shards, a few at a time. */
import { answered, type Steps } from "../../base/steps.ts";
import { shardOf, userAddress, type UserId } from "../../domain/address.ts";

/** Concurrent questions. */
const ASKED_AT_ONCE = 32;

/** Ordered by shard, so that a shard's files are opened once. @throws the first refusal */
export function* askEach<Answer>(
  users: readonly UserId[],
  ask: (user: UserId) => Answer | Promise<Answer>,
): Steps<Map<UserId, Answer>> {
  const answers = new Map<UserId, Answer>();
  const inOrder = users.map((user) => ({ user, shard: shardOf(userAddress(user)) }));
  inOrder.sort((a, b) => a.shard - b.shard);
  for (let at = 0; at < inOrder.length; at += ASKED_AT_ONCE) {
    const asked = inOrder.slice(at, at + ASKED_AT_ONCE).map(({ user }) => ({ user, answer: heard(ask(user)) }));
    for (const { user, answer } of asked) answers.set(user, yield* answered(answer));
    yield;
  }
  return answers;
}

/** Only the first refusal is thrown; the others must not count as unhandled rejections. */
function heard<Answer>(answer: Answer | Promise<Answer>): Answer | Promise<Answer> {
  if (answer instanceof Promise) answer.catch(() => {});
  return answer;
}
