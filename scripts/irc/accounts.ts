/**
 * Makes the users: with an API key if the operator gives one, otherwise by registration with passwords that every run
 * derives in the same way.
 */
import { createHmac } from "node:crypto";
import { createToken, createUser, login, register, type Server } from "../../src/client/http.ts";
import { forEachBounded } from "./bounded.ts";
import type { Calls } from "./calls.ts";
import type { PlannedUser } from "./plan.ts";

export const IMPORT_DEVICE = "irc-import";
export const VERIFY_DEVICE = "irc-verify";
const AT_ONCE_MAX = 16;
const DISPLAY_NAME_CHARACTERS_MAX = 64;

/**
 * The passwords protect nothing, since the logs are public. They only let two runs of the same import use the same
 * accounts.
 */
export function passwordOf(user: string): string {
  return createHmac("sha256", "parley irc import").update(user).digest("base64url");
}

export class Accounts {
  constructor(
    private readonly calls: Calls,
    private readonly apiKey: string | undefined,
  ) {}

  /** Makes the users that do not exist yet. @returns a token of the import's device for each */
  async open(users: PlannedUser[], onUser: () => void): Promise<Map<string, string>> {
    const tokens = new Map<string, string>();
    await forEachBounded(users, AT_ONCE_MAX, async (user) => {
      tokens.set(user.id, await this.openOne(user));
      onUser();
    });
    return tokens;
  }

  /** A token for another device of an existing user. */
  async openDevice(user: string, device: string): Promise<string> {
    const { apiKey } = this;
    const { token } = await this.calls.call(apiKey === undefined ? {} : { apiKey }, (server) =>
      apiKey === undefined
        ? login(server, { user, password: passwordOf(user), device })
        : createToken(server, user, device),
    );
    return token;
  }

  private async openOne(user: PlannedUser): Promise<string> {
    const { apiKey } = this;
    const displayName = displayNameOf(user.nick);
    if (apiKey !== undefined) {
      await this.calls.call({ apiKey }, (server) => createUser(server, { user: user.id, displayName }));
      return this.openDevice(user.id, IMPORT_DEVICE);
    }
    return this.calls.call({}, (server) => registerOrLogIn(server, user.id, displayName));
  }
}

/** The nick as a display name that the server accepts. The user's id identifies the nick. */
export function displayNameOf(nick: string): string {
  return [...nick.replaceAll(/\p{Cc}/gu, "\uFFFD")].slice(0, DISPLAY_NAME_CHARACTERS_MAX).join("");
}

async function registerOrLogIn(server: Server, user: string, displayName: string): Promise<string> {
  const credentials = { user, password: passwordOf(user), device: IMPORT_DEVICE };
  try {
    return (await register(server, { ...credentials, displayName })).token;
  } catch (error) {
    // Made by an earlier run, or by an earlier try whose answer was lost.
    if (!isCode(error, "user_taken")) throw error;
  }
  try {
    return (await login(server, credentials)).token;
  } catch (error) {
    if (!isCode(error, "bad_credentials")) throw error;
    throw new Error(
      `@${user} is there and was not made by this import; give an API key (--api-key), or use a server of its own`,
      { cause: error },
    );
  }
}

export function isCode(error: unknown, code: string): boolean {
  return (error as { code?: unknown } | undefined)?.code === code;
}
