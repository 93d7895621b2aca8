/**
 * `parley inspect user`: how much a user stores, counted from the messages themselves.
 *
 * Counted are messages that the user wrote and that are not erased: each direct one once, from the user's own timeline,
 * and posts in every group that the user was ever in. A receiver's copy is not counted.
 */
import { groupAddress, isGroup, nameOf, parseUserId, shardOf, userAddress } from "../domain/address.ts";
import type { Address, GroupAddress, GroupId, UserAddress } from "../domain/address.ts";
import { POSTED_LANE } from "../domain/entries.ts";
import { InspectedShard } from "../../storage/tools/inspected-shard.ts";
import type { Seq, ShardId, StoredEntry } from "../../storage/types.ts";
import { describeEntry } from "./describe-entry.ts";
import { FatalError } from "./fatal-error.ts";
import type { InspectOptions } from "./inspect-options.ts";
import type { Io } from "./io.ts";
import { formatCount, table } from "./tool-options.ts";

const PAGE = 4096;

/** Bytes of text in UTF-8, before compression. */
type Stored = { messages: number; textBytes: number };

export async function showUser(word: string, { directory, json }: InspectOptions, io: Io): Promise<void> {
  const user = userAddress(parseUserId(word.startsWith("@") ? word.slice(1) : word));
  const { direct, groups } = await countDirect(directory, user);
  const posts = await countPosts(directory, user, groups);
  const messages = direct.messages + posts.messages;
  const textBytes = direct.textBytes + posts.textBytes;
  if (json) return io.stdout(`${JSON.stringify({ user: nameOf(user), messages, textBytes, direct, posts })}\n`);
  const row = (what: string, stored: Stored): string[] => [
    what,
    formatCount(stored.messages),
    formatCount(stored.textBytes),
  ];
  const rows = [row("direct", direct), row("in groups", posts), row("together", { messages, textBytes })];
  io.stdout(table([[user, "MESSAGES", "BYTES OF TEXT"], ...rows], [1, 2]));
}

/** Also finds the groups that the user was ever in: memberships outlive an erasure. */
async function countDirect(
  directory: string,
  user: UserAddress,
): Promise<{ direct: Stored; groups: Set<GroupAddress> }> {
  const direct: Stored = { messages: 0, textBytes: 0 };
  const groups = new Set<GroupAddress>();
  await withView(directory, shardOf(user), (view) => {
    if (!view.cells(user).has("profile")) throw new FatalError("failed", `there is no user ${user}`);
    for (const entry of entriesOf(view, user)) {
      const lane = entry.lane as Address;
      if (isGroup(lane)) groups.add(groupAddress(nameOf(lane) as GroupId));
      const { kind, text } = describeEntry(user, entry);
      if (kind === "sent") add(direct, text);
    }
  });
  return { direct, groups };
}

/** Opens each shard once, however many of the groups it has. */
async function countPosts(directory: string, user: UserAddress, groups: ReadonlySet<GroupAddress>): Promise<Stored> {
  const posts: Stored = { messages: 0, textBytes: 0 };
  for (const [shard, ofShard] of Map.groupBy(groups, shardOf)) {
    await withView(directory, shard, (view) => {
      for (const group of ofShard) {
        for (const entry of entriesOf(view, group, POSTED_LANE)) {
          const { kind, sender, text } = describeEntry(group, entry);
          if (kind === "posted" && sender === user) add(posts, text);
        }
      }
    });
  }
  return posts;
}

function add(stored: Stored, text = ""): void {
  stored.messages++;
  stored.textBytes += Buffer.byteLength(text);
}

function* entriesOf(view: InspectedShard, stream: string, lane?: string): Generator<StoredEntry> {
  for (let after = 0 as Seq; ;) {
    const page = view.forward(stream, after, PAGE, lane);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.seq;
  }
}

async function withView(directory: string, shard: ShardId, look: (view: InspectedShard) => void): Promise<void> {
  const view = InspectedShard.open(directory, shard);
  try {
    look(view);
  } finally {
    await view.close();
  }
}
