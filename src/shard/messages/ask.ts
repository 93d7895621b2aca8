/**
 * Asks: what one shard wants to know from another, or wants it to do, with a reply. The list is closed: a kind has its question and its answer here, and a function that
 * answers it at the shard in asks/.
 */
import type { GroupAddress, UserAddress } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Posted } from "./post.ts";

export type Questions = {
  /** What was posted there? */
  posted: { readonly group: GroupAddress; readonly seq: Seq };
  /** Is there such a user? */
  user: { readonly user: UserAddress };
};

export type Answers = {
  /** Undefined when no post stands at that seq. */
  posted: Posted | undefined;
  /** Undefined when there is no such user. */
  user: { readonly displayName: string } | undefined;
};
