/** A user's request to erase their content, as the cells of the user hold it. */
import type { UserId } from "../../domain/address.ts";
import { cellNumber, cellText } from "../state/cells.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

/**
 * The bounds of the request: what the user sent through `through` of the own timeline, and posted through a seq of each
 * group. `id` numbers the requests of a user. A request of an older version has no `id`: what that version erased is
 * counted in `before`, since no stream knows of it.
 */
export type Request = {
  id?: number;
  requestedAt: number;
  finishedAt?: number;
  through: number;
  groups: Record<string, number>;
  before?: number;
};

export const entriesOf = ({ log, address }: UserState): number => cellNumber(log.cell(address, "erasedEntries"));

export function requestOf({ log, address }: UserState): Request | undefined {
  const cell = log.cell(address, "erasure");
  return cell === undefined ? undefined : (JSON.parse(cellText(cell)) as Request);
}

/** The user, for this turn of the event loop. */
export const userOf = ({ turns, users }: Shard, name: UserId): Promise<UserState | undefined> | UserState | undefined =>
  users.peek(name) ?? turns.run(users.steps(name));
