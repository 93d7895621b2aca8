import type { GuaranteeName } from "../../../scripts/history/checker/violations.ts";
import type { Edited } from "../edited.ts";

/** A way to break a guarantee in a history that keeps it. */
export type Mutation = { guarantee: GuaranteeName; name: string; mutate: (history: Edited) => void };
