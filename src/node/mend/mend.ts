/**
 * Makes a repaired directory safe to serve. The repair of the store saves records and does not know what they mean.
 * This step compensates for losses, in ordinary records:
 *
 *     survey         what the streams of all shards know of those that may have lost something     survey.ts
 *     streams        names stay taken, devices are logged out, positions begin behind the old ones  streams.ts
 *     users          cells that are derived from entries                                            refold.ts
 *     counts         of bytes that users store, which are counted anew                              recount.ts
 *     memberships    a group and its members agree                                                  memberships.ts
 *     erasures       what had been erased and came back is erased again                             erasure-mender.ts
 *
 * It runs before any handoff is offered again (handoffs.ts) and before any client is served: the caller opens the host
 * for this alone. A kill at any moment leaves a copy that no server uses. The repair then begins anew from the source.
 */
import { nextTurn } from "../../base/steps.ts";
import type { Random } from "../../base/random.ts";
import { shardOf, type Address, type UserAddress } from "../../domain/address.ts";
import { SHARD_COUNT, type Seq } from "../../../storage/types.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { unlessDamaged } from "../../home/damage.ts";
import { mendHandedOff } from "../../home/handoffs/handoffs.ts";
import type { ShardHost } from "../shard-host.ts";
import { UserState } from "../../home/state/user-state.ts";
import { inBatches } from "./batches.ts";
import { ErasureMender } from "./erasure-mender.ts";
import { Losses, type ShardLoss } from "./losses.ts";
import { MembershipMender } from "./memberships.ts";
import type { MendNote } from "./notes.ts";
import { forgetCount } from "./recount.ts";
import { refoldUser } from "./refold.ts";
import { LOST_PREFIX, StreamMender } from "./streams.ts";
import { isAddress, Survey, type Known } from "./survey.ts";

/** How many shards have their users in memory at once. Each has about a thousandth of all users. */
const REFOLDED_SHARDS = 32;

/** @param lost what the repair says of the shards that it repaired. @returns what was found, by shard */
export async function mend(host: ShardHost, lost: readonly ShardLoss[], random: Random): Promise<MendNote[]> {
  const losses = new Losses(lost);
  const at = host.clock.now();
  const survey = new Survey(host, losses);
  await host.turns.run(survey.look(host.ownedShards()));
  const notes: MendNote[] = [];
  host.forgetStates();
  const knownOf = Map.groupBy(survey.known, ([address]) => shardOf(address));
  const logs = openLogs(host, losses);
  const ends = new Map<Address, number>();
  await inBatches(logs, async (log) => {
    const streams = new StreamMender(log, losses, random, at);
    await streams.run(new Map<Address, Known>(knownOf.get(log.shard) ?? []));
    await mendHandedOff(log);
    notes.push(...streams.notes);
    for (const [address, end] of streams.ends) ends.set(address, end);
  });
  // States that were loaded meanwhile have numbers from before the change.
  host.forgetStates();
  for (let from = 0; from < logs.length; from += REFOLDED_SHARDS) {
    await inBatches(addressesIn(logs.slice(from, from + REFOLDED_SHARDS)), (address) =>
      refold(host, losses, address, survey.handedOver.get(address)),
    );
    // Changed states stay loaded until they are flushed.
    host.forgetStates();
  }
  const memberships = new MembershipMender({ host, losses, random, at });
  await memberships.run(survey, ends);
  const erasures = new ErasureMender(host, losses);
  await erasures.run(addressesIn(logs.filter(({ shard }) => losses.mayShowErased(shard))), survey.erasers);
  notes.push(...memberships.notes, ...erasures.notes, ...unknownOf(host, logs, losses));
  return notes.toSorted((a, b) => (a.shard ?? SHARD_COUNT) - (b.shard ?? SHARD_COUNT));
}

function openLogs(host: ShardHost, losses: Losses): ShardLog[] {
  return host
    .ownedShards()
    .filter((shard) => losses.isDoubtful(shard))
    .flatMap((shard) => {
      const log = unlessDamaged(() => host.store.shard(shard));
      return log === undefined ? [] : [log];
    });
}

const addressesIn = (logs: readonly ShardLog[]): Address[] =>
  logs.flatMap((log) => [...log.streams()].filter(isAddress));

async function refold(
  host: ShardHost,
  losses: Losses,
  address: Address,
  handedOver: ReadonlyMap<UserAddress, Seq> = new Map(),
): Promise<void> {
  const isHurt = losses.isHurt(address);
  if (!isHurt && !losses.mayShowErased(shardOf(address))) return;
  const state = host.ownerOf(address).stateOf(address);
  if (isHurt && state instanceof UserState) await refoldUser(state, handedOver);
  if (state !== undefined) await forgetCount(state);
  await nextTurn();
}

/** Notes about what cannot be mended. */
function* unknownOf({ store }: ShardHost, logs: readonly ShardLog[], losses: Losses): Iterable<MendNote> {
  for (const log of logs) {
    const unnamed = [...log.streams()].filter((name) => name.startsWith(LOST_PREFIX)).length;
    const what =
      `${unnamed} streams have lost their names; their remaining entries are kept as ${LOST_PREFIX}N, and nobody ` +
      "is shown them";
    if (unnamed > 0) yield { shard: log.shard, stream: "", kind: "unknown", what };
  }
  const closed = store.damaged.length;
  const unasked = `${closed} damaged shards stay closed; names and positions that only they know are missing`;
  if (closed > 0) yield { shard: undefined, stream: "", kind: "unknown", what: unasked };
  if (!logs.some(({ shard }) => losses.lacksNewest(shard))) return;
  for (const what of NEVER_KNOWN) yield { shard: undefined, stream: "", kind: "unknown", what };
}

const NEVER_KNOWN = [
  "a name that is lost, and that no other shard mentions, is not reserved: a stranger can register it",
  "the last change of a password may be lost: the former one is valid then",
  "the last change of a role in a group may be lost",
  "the last request to erase may be lost: repeat it",
];
