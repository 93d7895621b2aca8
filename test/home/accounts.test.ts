import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { DeviceId, UserId } from "../../src/domain/address.ts";
import { AccountService, type AccountServiceParts } from "../../src/home/accounts/accounts.ts";
import { KnownClients } from "../../src/home/accounts/known-clients.ts";
import { DEFAULT_LOGIN_THROTTLE, LoginThrottle } from "../../src/home/accounts/login-throttle.ts";
import { Passwords, type PasswordHashing, type PasswordOptions } from "../../src/home/accounts/passwords.ts";
import { TOKEN_ID_BYTES, Tokens } from "../../src/home/accounts/tokens.ts";
import { readDevice, readProfile } from "../../src/home/state/account-cells.ts";
import { encodeCell } from "../../src/home/state/cells.ts";
import { CellsInMemory } from "./cells-in-memory.ts";
import { HandClock } from "./hand-clock.ts";

const alice = "alice" as UserId;
const bob = "bob" as UserId;
const phone = "phone" as DeviceId;
const PASSWORD = "correct horse";
const YEAR_MS = 365 * 86_400_000;
const CHEAP: PasswordOptions = { memoryKiB: 64, passes: 1, concurrency: 2, queueMax: 100 };

async function setUp(parts: Partial<AccountServiceParts> = {}) {
  const clock = new HandClock();
  const cells = new CellsInMemory();
  const accounts = new AccountService({
    cells,
    clock,
    random: systemRandom,
    passwords: await Passwords.open(CHEAP, systemRandom),
    tokens: await Tokens.open(new Uint8Array(32).fill(7), clock),
    throttle: new LoginThrottle(DEFAULT_LOGIN_THROTTLE, clock),
    clients: new KnownClients(new Uint8Array(16)),
    ...parts,
  });
  return { accounts, cells, clock };
}

/** Alice is there; every computation of a password is written down, with the hash that was compared. */
async function withWatchedPasswords() {
  const computed: string[] = [];
  const hashing: PasswordHashing = {
    hash: (password, options) => {
      computed.push("hash");
      return Bun.password.hash(password, options);
    },
    verify: (password, hash) => {
      computed.push(hash);
      return Bun.password.verify(password, hash);
    },
  };
  const made = await setUp({ passwords: await Passwords.open(CHEAP, systemRandom, hashing) });
  await made.accounts.register({ user: alice, password: PASSWORD });
  computed.length = 0;
  return { ...made, computed };
}

async function refusal(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(
    () => new Error("was not refused"),
    (reason: unknown) => reason,
  );
  if (error instanceof AppError) return error;
  throw error;
}

describe("register", () => {
  test("makes the user with a profile, a hash and its first device", async () => {
    const { accounts, cells, clock } = await setUp();
    const { user, device } = await accounts.register({
      user: alice,
      password: PASSWORD,
      displayName: "Alice",
      device: phone,
    });
    expect({ user, device }).toEqual({ user: "alice", device: "phone" });
    expect(readProfile(alice, cells.cell(alice, "profile")!)).toEqual({ displayName: "Alice", createdAt: clock.now() });
    expect(cells.text("alice", "password")).toStartWith("$argon2id$v=19$m=64,t=1,");
    const { createdAt, tokenId } = readDevice(cells.cell(alice, "device/phone")!);
    expect(createdAt).toBe(clock.now());
    expect(tokenId).toHaveLength(TOKEN_ID_BYTES);
  });

  test("takes the user id as display name, and a fresh device name, when none is given", async () => {
    const { accounts, cells } = await setUp();
    const { device } = await accounts.register({ user: alice, password: PASSWORD });
    expect(device).toMatch(/^d-[a-z2-7]{8}$/);
    expect(readProfile(alice, cells.cell(alice, "profile")!).displayName).toBe("alice");
  });

  test("refuses a taken name without computing a hash", async () => {
    const { accounts, computed } = await withWatchedPasswords();
    expect((await refusal(accounts.register({ user: alice, password: PASSWORD }))).code).toBe("user_taken");
    expect(computed).toEqual([]);
  });

  test("of two at once for the same name, exactly one wins", async () => {
    const { accounts } = await setUp();
    const both = await Promise.allSettled([1, 2].map(() => accounts.register({ user: alice, password: PASSWORD })));
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  test("is forbidden when registration is closed, while an API key still makes users", async () => {
    const { accounts } = await setUp({ isRegistrationOpen: false });
    expect((await refusal(accounts.register({ user: alice, password: PASSWORD }))).code).toBe("forbidden");
    expect(await accounts.createUser({ user: alice })).toEqual({ created: true });
  });
});

describe("login", () => {
  test("gives a live token for the right password, composed either way", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: "caf\u00e9 au lait" });
    const { token, device } = await accounts.login({ user: alice, password: "cafe\u0301 au lait", device: phone });
    expect(device).toBe("phone");
    expect(await accounts.authenticate(token)).toEqual({ user: alice, device: phone });
  });

  test("answers a wrong password, an unknown user and a user without password alike", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD });
    await accounts.createUser({ user: bob });
    const attempts = [alice, bob, "nobody" as UserId].map((user) =>
      refusal(accounts.login({ user, password: "wrong horse" })),
    );
    const refusals = await Promise.all(attempts);
    expect(refusals.map(({ code }) => code)).toEqual(["bad_credentials", "bad_credentials", "bad_credentials"]);
    expect(new Set(refusals.map(({ message }) => message)).size).toBe(1);
  });

  test("costs an unknown user and one without password the same computation as a known one", async () => {
    const { accounts, computed } = await withWatchedPasswords();
    await accounts.createUser({ user: bob });
    for (const user of [alice, bob, "nobody" as UserId])
      await refusal(accounts.login({ user, password: "wrong horse" }));
    expect(computed.map((hash) => hash.split("$").slice(0, 4).join("$"))).toEqual(
      Array(3).fill("$argon2id$v=19$m=64,t=1,p=1"),
    );
  });

  test("of a device ends the token it had and closes its sockets", async () => {
    const { accounts, cells } = await setUp();
    const { token: old } = await accounts.register({ user: alice, password: PASSWORD, device: phone });
    const { token } = await accounts.login({ user: alice, password: PASSWORD, device: phone });
    expect((await refusal(accounts.authenticate(old))).code).toBe("unauthorized");
    expect(await accounts.authenticate(token)).toEqual({ user: alice, device: phone });
    expect(cells.closed).toEqual(["alice/phone"]);
  });

  test.each<[string, number[]]>([
    ["the clock goes on", [0, 10, 20, 30]],
    ["the clock stands still", [0, 0, 0, 0]],
    ["the clock was a year ahead and is put right", [YEAR_MS, YEAR_MS, 0, 0]],
    ["the clock was a year behind and is put right", [0, -YEAR_MS, -YEAR_MS, 0]],
  ])(
    "beyond the most devices logs out the one that logged in longest ago, not the newest: %s",
    async (_, wallAheadMs) => {
      const { accounts, cells, clock } = await setUp({ devicesMax: 3 });
      const device = (login: number) => `d${login}` as DeviceId;
      const logIn = async (aheadMs: number, login: number): Promise<string> => {
        clock.wallAheadMs = aheadMs;
        const input = { user: alice, password: PASSWORD, device: device(login) };
        return (await (login === 0 ? accounts.register(input) : accounts.login(input))).token;
      };
      const tokens: string[] = [];
      for (const [login, aheadMs] of wallAheadMs.entries()) tokens.push(await logIn(aheadMs, login));
      const isAlive = (token: string) =>
        accounts.authenticate(token).then(
          () => true,
          () => false,
        );
      expect(await Promise.all(tokens.map(isAlive))).toEqual([false, true, true, true]);
      // Whoever logs in again is the newest from then on.
      tokens.push(await logIn(0, 1), await logIn(0, 5));
      expect(await Promise.all(tokens.map(isAlive))).toEqual([false, false, false, true, true, true]);
      expect(cells.closed).toEqual(["alice/d0", "alice/d1", "alice/d2"]);
    },
  );

  test("counts on from devices that an older version made, which are older", async () => {
    const { accounts, cells } = await setUp({ devicesMax: 2 });
    await accounts.register({ user: alice, password: PASSWORD, device: phone });
    const old = (createdAt: number) => encodeCell(createdAt, new Uint8Array(TOKEN_ID_BYTES));
    await cells.write(alice, [
      ["device/phone", old(2_000)],
      ["device/older", old(1_000)],
    ]);
    await accounts.login({ user: alice, password: PASSWORD, device: "new" as DeviceId });
    await accounts.login({ user: alice, password: PASSWORD, device: "newer" as DeviceId });
    expect(cells.closed).toEqual(["alice/older", "alice/phone"]);
  });
});

describe("wrong passwords", () => {
  const fail = (accounts: AccountService, user: UserId) => refusal(accounts.login({ user, password: "wrong horse" }));

  test("ten within a minute make the next login wait out the minute, right password or not", async () => {
    const { accounts, clock } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD });
    for (let i = 0; i < 10; i++) expect((await fail(accounts, alice)).code).toBe("bad_credentials");
    clock.advance(20_000);
    const refused = await refusal(accounts.login({ user: alice, password: PASSWORD }));
    expect([refused.code, refused.retryAfterMs]).toEqual(["rate_limited", 40_000]);
    clock.advance(40_000);
    expect((await accounts.login({ user: alice, password: PASSWORD })).user).toBe("alice");
  });

  test("are counted for a minute that passes, whatever the clock on the wall shows", async () => {
    const { accounts, clock } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD });
    for (let i = 0; i < 10; i++) await fail(accounts, alice);
    for (const aheadMs of [YEAR_MS, -YEAR_MS, 0]) {
      clock.wallAheadMs = aheadMs;
      const refused = await refusal(accounts.login({ user: alice, password: PASSWORD }));
      expect([refused.code, refused.retryAfterMs]).toEqual(["rate_limited", 60_000]);
    }
    clock.advance(60_000);
    expect((await accounts.login({ user: alice, password: PASSWORD })).user).toBe("alice");
  });

  test("are forgiven by a right one, and concern one user", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD });
    for (let i = 0; i < 9; i++) await fail(accounts, alice);
    await accounts.login({ user: alice, password: PASSWORD });
    for (let i = 0; i < 9; i++) expect((await fail(accounts, alice)).code).toBe("bad_credentials");
    expect((await fail(accounts, bob)).code).toBe("bad_credentials");
  });

  test("are counted for names that do not exist too", async () => {
    const { accounts } = await setUp();
    for (let i = 0; i < 10; i++) await fail(accounts, bob);
    expect((await fail(accounts, bob)).code).toBe("rate_limited");
  });

  test("are remembered for a bounded number of names, the newest", () => {
    const throttle = new LoginThrottle({ failuresMax: 1, windowMs: 60_000, usersMax: 3 }, new HandClock());
    for (const user of ["u1", "u2", "u3", "u4"]) throttle.begin(user).failed();
    expect(throttle.size).toBe(3);
    expect(() => throttle.begin("u4")).toThrow("wrong passwords");
    expect(() => throttle.begin("u1")).not.toThrow();
  });

  test("ten wrong ones are ten, also when 130 come at the same moment", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD });
    const codes = (await Promise.all(Array.from({ length: 130 }, () => fail(accounts, alice)))).map(({ code }) => code);
    expect(codes.filter((code) => code === "bad_credentials")).toHaveLength(10);
    expect(codes.filter((code) => code === "rate_limited")).toHaveLength(120);
  });

  test("of a stranger do not keep the owner out who comes from where they were before, also after a restart", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD, client: "192.0.2.1" });
    for (let i = 0; i < 10; i++)
      await refusal(accounts.login({ user: alice, password: "guess", client: "203.0.113.9" }));
    const elsewhere = accounts.login({ user: alice, password: PASSWORD, client: "198.51.100.4" });
    expect((await refusal(elsewhere)).code).toBe("rate_limited");
    expect((await accounts.login({ user: alice, password: PASSWORD, client: "192.0.2.1" })).user).toBe("alice");
  });

  test("from an address where the user was before are counted, too", async () => {
    const { accounts } = await setUp();
    await accounts.register({ user: alice, password: PASSWORD, client: "192.0.2.1" });
    const guess = () => refusal(accounts.login({ user: alice, password: "guess", client: "192.0.2.1" }));
    for (let i = 0; i < 10; i++) expect((await guess()).code).toBe("bad_credentials");
    expect((await guess()).code).toBe("rate_limited");
  });

  test("that are not computed for want of room are none", async () => {
    const throttle = new LoginThrottle({ failuresMax: 1, windowMs: 60_000, usersMax: 3 }, new HandClock());
    for (let i = 0; i < 5; i++) throttle.begin("u1").withdrawn();
    expect(throttle.size).toBe(0);
  });
});

describe("authenticate", () => {
  test("refuses what another key signed, what is unsigned, and what is no token", async () => {
    const { accounts, clock } = await setUp();
    const { device } = await accounts.register({ user: alice, password: PASSWORD });
    const claims = { user: alice, device: device as DeviceId, tokenId: "aaaaaaaaaaaaaaaa" };
    const forged = await (await Tokens.open(new Uint8Array(32).fill(8), clock)).issue(claims);
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${forged.split(".")[1]}.`;
    for (const token of [forged, unsigned, "", "a.b.c", "x".repeat(100_000)]) {
      expect((await refusal(accounts.authenticate(token))).code).toBe("unauthorized");
    }
  });

  test("refuses a token after logout, though its signature was checked before", async () => {
    const { accounts, cells } = await setUp();
    const { token } = await accounts.register({ user: alice, password: PASSWORD, device: phone });
    const actor = await accounts.authenticate(token);
    await accounts.logout(actor);
    expect((await refusal(accounts.authenticate(token))).code).toBe("unauthorized");
    expect(cells.closed).toEqual(["alice/phone"]);
  });

  test("takes a token, whatever clock it was made and is read by", async () => {
    const key = new Uint8Array(32).fill(7);
    const clock = new HandClock();
    const claims = { user: alice, device: phone, tokenId: "aaaaaaaa" };
    for (const madeAt of [0, YEAR_MS, -50 * YEAR_MS, 400 * YEAR_MS]) {
      clock.wallAheadMs = madeAt;
      const token = await (await Tokens.open(key, clock)).issue(claims);
      for (const readAt of [0, -YEAR_MS, YEAR_MS]) {
        clock.wallAheadMs = readAt;
        // One that has not seen the token before.
        expect(await (await Tokens.open(key, clock)).verify(token)).toEqual(claims);
      }
    }
  });

  test("remembers a bounded number of checked signatures, the most recently used", async () => {
    const clock = new HandClock();
    const tokens = await Tokens.open(new Uint8Array(32).fill(7), clock, 2);
    const issue = (tokenId: string) => tokens.issue({ user: alice, device: phone, tokenId });
    const [first, second, third] = await Promise.all([issue("t1"), issue("t2"), issue("t3")]);
    const claims = await tokens.verify(first);
    await tokens.verify(second);
    expect(await tokens.verify(first)).toBe(claims);
    await tokens.verify(third);
    expect(tokens.verifiedCount).toBe(2);
    expect(await tokens.verify(first)).toBe(claims);
  });
});

describe("users of an operator", () => {
  test("are made once, and made again without change", async () => {
    const { accounts, cells } = await setUp();
    expect(await accounts.createUser({ user: bob, displayName: "Bob" })).toEqual({ created: true });
    expect(await accounts.createUser({ user: bob, displayName: "Robert" })).toEqual({ created: false });
    expect(readProfile(bob, cells.cell(bob, "profile")!).displayName).toBe("Bob");
    expect(cells.text("bob", "password")).toBeUndefined();
  });

  test("who are registered while they are being made were there", async () => {
    const { accounts, cells } = await setUp();
    cells.beforeCreate = async () => {
      cells.beforeCreate = async () => undefined;
      await cells.create(bob, []);
    };
    expect(await accounts.createUser({ user: bob })).toEqual({ created: false });
  });

  test("get tokens without a password; users who do not exist get none", async () => {
    const { accounts } = await setUp();
    await accounts.createUser({ user: bob });
    const { token, device } = await accounts.createToken({ user: bob, device: phone });
    expect(device).toBe("phone");
    expect(await accounts.authenticate(token)).toEqual({ user: bob, device: phone });
    expect((await refusal(accounts.createToken({ user: alice }))).code).toBe("unknown_address");
  });
});

describe("computing passwords", () => {
  test("happens a few at a time; beyond the queue comes unavailable with a time to retry", async () => {
    const passwords = await Passwords.open({ ...CHEAP, concurrency: 2, queueMax: 3 }, systemRandom);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => passwords.hash(PASSWORD)));
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason as AppError] : []));
    expect(refused.map(({ code }) => code)).toEqual(["unavailable", "unavailable", "unavailable"]);
    expect(refused[0]?.retryAfterMs).toBeGreaterThan(0);
  });

  test("goes on after the queue was full", async () => {
    const passwords = await Passwords.open({ ...CHEAP, concurrency: 1, queueMax: 1 }, systemRandom);
    await Promise.allSettled(Array.from({ length: 5 }, () => passwords.hash(PASSWORD)));
    expect(await passwords.verify(PASSWORD, await passwords.hash(PASSWORD))).toBe(true);
  });
});
