/**
 * What a user stores (stored-counts.ts) is counted in cells, which may be of another age than the entries that were
 * saved. So the cells of a stream that may have lost something, or in which something erased came back, say that nobody
 * has counted; a server with a quota counts anew. Before anything is erased again: an erasure takes its bytes off.
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
