import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { userAddress, type GroupAddress } from "../../domain/address.ts";
import { askEach } from "./ask-each.ts";
import { mustBeFree } from "../authorization.ts";
import { creating } from "../groups/group-changes.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Answers, GroupChanged, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";
import { describeGroup } from "./answer-group.ts";

const BEGUN: GroupChanged = { isKeptAnew: false, isAdded: true };

/**
 * Begins a group, or the next life of a group that is over.
 *
 * A repeated call, with the same epoch, begins nothing and gets the group as it is now, even if it was changed or
 * dissolved in between. If another group has begun under the id in between, the id is taken.
 * @throws AppError group_taken, and the refusals of `mayJoin`
 */
export function* answerCreateGroup(shard: Shard, question: Questions["createGroup"]): Steps<Answers["createGroup"]> {
  const { group: address, epoch } = question;
  yield* shard.groupCalls.once(epoch, () => create(shard, question));
  const group = mustBeThere(yield* shard.groups.steps(address), address);
  if (group.epoch !== epoch) mustBeFree(group, address);
  return describeGroup(group);
}

function* create(shard: Shard, question: Questions["createGroup"]): Steps<GroupChanged> {
  const { group: address, epoch } = question;
  // A call for a taken id does not wait for a turn.
  if (isBegun(yield* shard.groups.steps(address), address, epoch)) return BEGUN;
  return yield* shard.groupTurns.run(address, () => createInTurn(shard, question));
}

function* createInTurn(shard: Shard, question: Questions["createGroup"]): Steps<GroupChanged> {
  const { group: address, epoch, by, name } = question;
  if (isBegun(yield* shard.groups.steps(address), address, epoch)) return BEGUN;
  const members = [...question.members];
  yield* askEach(members, (user) =>
    shard.router.ask("mayJoin", userAddress(user), { user, group: address, isOwnDoing: user === by }),
  );
  shard.mustAcceptWrites();
  const at = shard.clock.now();
  yield* creating(shard, address, epoch, { change: "created", by, at, name, members });
  return BEGUN;
}

/**
 * Whether the same call has begun the group before a restart. @throws AppError group_taken if there is another group
 */
function isBegun(found: GroupState | undefined, address: GroupAddress, epoch: string): boolean {
  if (found?.epoch === epoch) return true;
  mustBeFree(found, address);
  return false;
}

function mustBeThere(group: GroupState | undefined, address: GroupAddress): GroupState {
  if (group === undefined) throw new AppError("internal", `${address} was created and is not there`);
  return group;
}
