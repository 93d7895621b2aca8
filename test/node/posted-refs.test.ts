/** A crash between a message to a group and the author's own record of its ref, which stand in the logs of two shards. */
import { expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { groupAddress, userAddress, type DeviceId, type GroupId, type UserId } from "../../src/domain/address.ts";
import { payloadBytesMax, postedKey, POSTED_LANE, writePosted } from "../../src/domain/entries.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { ShardKeeper } from "../../src/node/shard-keeper.ts";
import { additionsForTests } from "../support/additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import type { Seq } from "../../storage/types.ts";
import { dataDirectory } from "../support/data-directory.ts";

const ann = { user: "ann" as UserId, device: "d" as DeviceId };
const club = groupAddress("club" as GroupId);
const ports = {
  clock: systemClock,
  ids: new MessageIds(new Uint8Array(16)),
  limits: DEFAULT_LIMITS,
  logger: createLogger("error", (line) => void process.stderr.write(line), systemClock.now),
};

/** The group's record of a post, and nothing of the author's. */
function postHalf(host: ShardHost, text: string, ref: string): Promise<void> {
  const group = host.groups.get(club)!;
  return writeRecord(group.log, (log) => {
    log.beginEntry(group.handle, POSTED_LANE, postedKey(ann.user, ref), group.nextSeq, payloadBytesMax(text));
    writePosted(log.writer, systemClock.now(), text);
    log.endEntry();
  });
}

test("the ref stands for the message all the same (G2), also elsewhere, and when the message was erased", async () => {
  const data = await dataDirectory();
  try {
    const first = await ShardHost.open({ directory: data.path }, ports, () => {});
    for (const user of [ann.user, "ben" as UserId])
      await createUserCells((user) => first.home(user)).create(user, [
        ["profile", encodeProfile(user, { createdAt: 1, displayName: user })],
      ]);
    await createGroups((user) => first.home(user), systemRandom, additionsForTests()).create(ann, {
      id: "club" as GroupId,
      name: "club",
      members: [],
    });
    await postHalf(first, "hello", "r-1");
    // As a crash leaves it: nothing is flushed.
    first.markTurns.stop();
    await first.store.close();

    const second = await ShardKeeper.open({ directory: data.path }, ports);
    const { send } = createMessaging((user) => second.host().home(user));
    const again = { text: "hello", ref: "r-1", retry: true };
    const elsewhere = send(ann, { ...again, to: userAddress("ben" as UserId) });
    expect(await elsewhere.catch(({ code }: { code: string }) => code)).toBe("ref_conflict");
    expect(await send(ann, { ...again, to: club })).toMatchObject({ duplicate: true, message: { seq: 2 } });
    expect((await eraseBefore(second.host().ownerOf(club), club, systemClock.now() + 1, () => false)).entries).toBe(1);
    const erased = await send(ann, { ...again, to: club });
    expect(erased).toMatchObject({ duplicate: true, message: { seq: 2, deletedAt: expect.any(Number) } });
    expect(second.host().groups.get(club)!.headSeq).toBe(2 as Seq);
    await second.close(0);
  } finally {
    data.remove();
  }
});
