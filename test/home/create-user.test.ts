/** A name is given away once, at its own shard. */
import { expect, test } from "bun:test";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { encodeProfile, readProfile } from "../../src/home/state/account-cells.ts";
import { createUser } from "../../src/home/accounts/create-user.ts";
import { CLUB, PEOPLE } from "./talk.ts";
import { RestartedShards } from "./restarted-shards.ts";

const EVE = "eve" as UserId;
const profile = (displayName: string): [key: string, value: Uint8Array][] => [
  ["profile", encodeProfile(EVE, { createdAt: 1, displayName })],
];

test("of two who ask for a name at the same time one gets it, and the other is told that it is taken", async () => {
  const shards = new RestartedShards();
  await shards.begin(PEOPLE, CLUB);
  const home = shards.host.home(EVE);
  const asked = await Promise.allSettled(["One", "Other"].map((name) => createUser(home, EVE, profile(name))));
  expect(asked.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect((asked[1] as PromiseRejectedResult).reason).toMatchObject({ code: "user_taken" });
  await expect(createUser(home, EVE, profile("Late"))).rejects.toMatchObject({ code: "user_taken" });
  const cell = home.log.cell(userAddress(EVE), "profile")!;
  expect(readProfile(EVE, cell).displayName).toBe("One");
  await shards.close();
});
