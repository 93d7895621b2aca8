import { expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import type { DeviceId, UserId } from "../../src/domain/address.ts";
import { Tokens } from "../../src/home/accounts/tokens.ts";

const KEY = new Uint8Array(32).fill(7);
const CLAIMS = { user: "ann" as UserId, device: "phone" as DeviceId, tokenId: "AAAAAAA" };

test("the signature says at once whose a token is, also one that was never seen", async () => {
  const token = await (await Tokens.open(KEY, systemClock)).issue(CLAIMS);
  const tokens = await Tokens.open(KEY, systemClock);
  expect(tokens.signedFor(token)).toBe(CLAIMS.user);
  expect(await tokens.verify(token)).toEqual(CLAIMS);
  expect(tokens.signedFor(token)).toBe(CLAIMS.user);
});

test("what this key did not sign is nobody's", async () => {
  const tokens = await Tokens.open(KEY, systemClock);
  const token = await tokens.issue(CLAIMS);
  const [head, payload, signature] = token.split(".") as [string, string, string];
  const ben = Buffer.from(JSON.stringify({ sub: "ben", jti: "AAAAAAA", device: "phone" })).toString("base64url");
  const none = Buffer.from(`{"alg":"none"}`).toString("base64url");
  const other = await (await Tokens.open(new Uint8Array(32), systemClock)).issue(CLAIMS);
  const forged = [
    "",
    "..",
    `${head}.${payload}`,
    `${head}.${payload}.`,
    `${head}.${ben}.${signature}`,
    `${none}.${payload}.${signature}`,
    `${token}.x`,
    `${head}.${payload}.${signature.slice(1)}`,
    "x".repeat(5000),
    other,
  ];
  for (const text of forged)
    expect([text.slice(0, 50), tokens.signedFor(text)]).toEqual([text.slice(0, 50), undefined]);
});
