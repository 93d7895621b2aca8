/**
 * The bytes that a user stores (stored-counts.ts) are counted in cells. After a repair these may be older or newer than
 * the saved entries. So for streams that may have lost something, or in which erased entries came back, the cells are
 * set to "not counted", and a server with a quota counts anew. This runs before anything is erased again, because an
 * erasure subtracts its bytes.
 */
import type { GroupState } from "../../home/state/group-state.ts";
import type { UserState } from "../../home/state/user-state.ts";
import { writeRecord } from "../../home/durable.ts";

export async function forgetCount(state: UserState | GroupState): Promise<void> {
  const { log, handle } = state;
  state.forgetCount();
  await writeRecord(log, () => {
    for (const [key, value] of state.derivedCells()) log.putCell(handle, key, value);
  });
}
