import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { userAddress, type GroupAddress } from "../../domain/address.ts";
import { askEach } from "../ask-each.ts";
import { mustBeFree } from "../authorization.ts";
import { creating } from "../group-changes.ts";
import type { GroupState } from "../group-state.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";
import { describeGroup } from "./answer-group.ts";

/**
 * Begins a group, or the next life of one that is over.
 *
 * Asked again, by the same epoch, the group is described as it is by now, and nothing is begun: also when somebody has changed or dissolved it since. Where another group
 * has begun under the id since, the id is taken.
 * @throws AppError group_taken, and what `mayJoin` is refused with
 */
export function* answerCreateGroup(shard: Shard, question: Questions["createGroup"]): Steps<Answers["createGroup"]> {
  const { group: address, epoch } = question;
  const known = yield* shard.groups.steps(address);
  // Nobody waits their turn for an id that is taken.
  if (known?.epoch === epoch) return describeGroup(known);
  mustBeFree(known, address);
  return yield* shard.groupTurns.take(address, () => create(shard, question));
}

function* create(shard: Shard, question: Questions["createGroup"]): Steps<Answers["createGroup"]> {
  const { group: address, epoch, by, name } = question;
  const known = yield* shard.groups.steps(address);
  if (known?.epoch === epoch) return describeGroup(known);
  mustBeFree(known, address);
  const members = [...question.members];
  yield* askEach(members, (user) =>
    shard.router.ask("mayJoin", userAddress(user), { user, group: address, isOwnDoing: user === by }),
  );
  shard.mustAcceptWrites();
  const at = shard.clock.now();
  yield* creating(shard, address, epoch, { change: "created", by, at, name, members });
  return describeGroup(mustBeThere(yield* shard.groups.steps(address), address));
}

function mustBeThere(group: GroupState | undefined, address: GroupAddress): GroupState {
  if (group === undefined) throw new AppError("internal", `${address} was made and is not there`);
  return group;
}
