/**
 * Registration, logins and tokens. Has no state of its own except bounded tables that may be lost. Users are cells at
 * their homes:
 *
 *     profile       createdAt | display name, empty when it is the user id
 *     password      argon2id string; absent for users made with an API key: they cannot log in by password
 *     device/<id>   createdAt | token id | login: a number above those of the devices that existed at the time
 *     clients       addresses where the user logged in (known-clients.ts)
 *
 * Invariant: a token is alive exactly while its device's cell exists and names the token's id. So logging out clears a
 * cell, a new login of the same device ends the old token, and a restored backup brings back the tokens that were alive
 * when it was made.
 */
import type { Clock } from "../../base/clock.ts";
import { AppError } from "../../base/errors.ts";
import { randomName, type Random } from "../../base/random.ts";
import type { DeviceId, UserId } from "../../domain/address.ts";
import { DEVICES_MAX } from "../../domain/limits.ts";
import type { Credentials } from "../../protocol/http-shapes.ts";
import {
  DEVICE_PREFIX,
  type DeviceCell,
  encodeDevice,
  encodeProfile,
  PASSWORD,
  PASSWORD_LOST,
  readDevice,
} from "../state/account-cells.ts";
import { CLIENTS_CELL, type KnownClients } from "./known-clients.ts";
import type { LoginThrottle } from "./login-throttle.ts";
import type { Passwords } from "./passwords.ts";
import { TOKEN_ID_BYTES, type Tokens } from "./tokens.ts";
import type { Accounts, Actor, UserCells } from "../services.ts";

type Cell = [key: string, value: Uint8Array];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type AccountServiceParts = {
  cells: UserCells;
  passwords: Passwords;
  tokens: Tokens;
  throttle: LoginThrottle;
  clients: KnownClients;
  clock: Clock;
  random: Random;
  devicesMax?: number;
  /** Whether anybody may register. If not, users are made with API keys only. Default: true. */
  isRegistrationOpen?: boolean;
};

export class AccountService implements Accounts {
  readonly #cells: UserCells;
  readonly #passwords: Passwords;
  readonly #tokens: Tokens;
  readonly #throttle: LoginThrottle;
  readonly #clients: KnownClients;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #devicesMax: number;
  readonly #isRegistrationOpen: boolean;

  constructor(parts: AccountServiceParts) {
    this.#cells = parts.cells;
    this.#passwords = parts.passwords;
    this.#tokens = parts.tokens;
    this.#throttle = parts.throttle;
    this.#clients = parts.clients;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#devicesMax = parts.devicesMax ?? DEVICES_MAX;
    this.#isRegistrationOpen = parts.isRegistrationOpen ?? true;
  }

  async register(input: {
    user: UserId;
    password: string;
    displayName?: string;
    device?: DeviceId;
    client?: string;
  }): Promise<Credentials> {
    const { user, password, client } = input;
    if (!this.#isRegistrationOpen)
      throw new AppError("forbidden", "registration is closed; ask the operator of this server for a user");
    // Before the costly hash. `create` decides between two registrations that both pass here.
    if (await this.#cells.load(user)) throw new AppError("user_taken", `@${user} is taken; choose another name`);
    const hash = await this.#passwords.hash(password, client);
    const { device, tokenId, cell } = this.#newDevice(1, input.device);
    const cells: Cell[] = [this.#newUserCell(input), [PASSWORD, encoder.encode(hash)], cell];
    await this.#cells.create(user, [...cells, ...(await this.#clientCell(user, client))]);
    return { user, device, token: await this.#tokens.issue({ user, device, tokenId }) };
  }

  async login(input: { user: UserId; password: string; device?: DeviceId; client?: string }): Promise<Credentials> {
    const { user, password, device, client } = input;
    if (!(await this.#isRight(user, password, client))) throw await this.#wrong(user);
    return this.#openDevice(user, device, await this.#clientCell(user, client));
  }

  /**
   * A lost password gets an error of its own, so that its owner does not keep guessing. It tells strangers only that
   * the name is taken, as a registration would.
   */
  async #wrong(user: UserId): Promise<AppError> {
    const lost = await this.#cells.cell(user, PASSWORD_LOST);
    const isLost = lost !== undefined && (await this.#cells.cell(user, PASSWORD)) === undefined;
    const detail = isLost
      ? `@${user} has no password since the data of this server was repaired; ask its operator for a new one`
      : "wrong user or password";
    return new AppError("bad_credentials", detail);
  }

  async #isRight(user: UserId, password: string, client: string | undefined): Promise<boolean> {
    await this.#cells.load(user);
    const known = await this.#knownClient(user, client);
    const stored = await this.#cells.cell(user, PASSWORD);
    const hash = stored === undefined ? undefined : decoder.decode(stored);
    const attempt = this.#throttle.begin(user, known);
    let isRight: boolean;
    try {
      isRight = await this.#passwords.verify(password, hash, client);
    } catch (error) {
      attempt.withdrawn();
      throw error;
    }
    if (isRight) attempt.succeeded();
    else attempt.failed();
    return isRight;
  }

  async #knownClient(user: UserId, client: string | undefined): Promise<string | undefined> {
    if (client === undefined || client === "") return undefined;
    return this.#clients.has(await this.#cells.cell(user, CLIENTS_CELL), user, client) ? client : undefined;
  }

  async #clientCell(user: UserId, client: string | undefined): Promise<Cell[]> {
    if (client === undefined || client === "") return [];
    const cell = this.#clients.with(await this.#cells.cell(user, CLIENTS_CELL), user, client);
    return cell === undefined ? [] : [[CLIENTS_CELL, cell]];
  }

  async logout({ user, device }: Actor): Promise<void> {
    await this.#cells.write(user, [[deviceKey(device), null]]);
    this.#cells.closeSessions(user, device);
  }

  async authenticate(token: string): Promise<Actor> {
    const { user, device, tokenId } = await this.#tokens.verify(token);
    await this.#cells.load(user);
    const cell = await this.#cells.cell(user, deviceKey(device));
    if (cell === undefined || textOfTokenId(readDevice(cell).tokenId) !== tokenId) {
      throw new AppError(
        "unauthorized",
        "the token was logged out, or replaced by a newer login of its device; log in again",
      );
    }
    return { user, device };
  }

  async createUser(input: { user: UserId; displayName?: string }): Promise<{ created: boolean }> {
    if (await this.#cells.load(input.user)) return { created: false };
    try {
      await this.#cells.create(input.user, [this.#newUserCell(input)]);
      return { created: true };
    } catch (error) {
      if (error instanceof AppError && error.code === "user_taken") return { created: false };
      throw error;
    }
  }

  async createToken({ user, device }: { user: UserId; device?: DeviceId }): Promise<Credentials> {
    if (!(await this.#cells.load(user)))
      throw new AppError("unknown_address", `@${user} does not exist; create it with POST /v1/users`);
    return this.#openDevice(user, device);
  }

  #newUserCell({ user, displayName }: { user: UserId; displayName?: string }): Cell {
    return ["profile", encodeProfile(user, { displayName: displayName ?? user, createdAt: this.#clock.now() })];
  }

  #newDevice(login: number, name?: DeviceId): { device: DeviceId; tokenId: string; cell: Cell } {
    const device = name ?? (`d-${randomName(this.#random, 8)}` as DeviceId);
    const tokenId = this.#random.bytes(TOKEN_ID_BYTES);
    const cell = encodeDevice({ createdAt: this.#clock.now(), tokenId, login });
    return { device, tokenId: textOfTokenId(tokenId), cell: [deviceKey(device), cell] };
  }

  /**
   * Replaces the user's device of that name, and evicts the oldest devices if there are too many. Closes their sockets.
   */
  async #openDevice(user: UserId, name?: DeviceId, more: Cell[] = []): Promise<Credentials> {
    const devices = await this.#devices(user);
    const login = devices.reduce((newest, { cell }) => Math.max(newest, cell.login), 0) + 1;
    const { device, tokenId, cell } = this.#newDevice(login, name);
    const others = devices.filter((other) => other.device !== device);
    const evicted = evictedOf(others, this.#devicesMax - 1);
    await this.#cells.write(user, [...evicted.map((old): [string, null] => [deviceKey(old), null]), cell, ...more]);
    const isReplaced = others.length < devices.length;
    for (const old of isReplaced ? [...evicted, device] : evicted) this.#cells.closeSessions(user, old);
    return { user, device, token: await this.#tokens.issue({ user, device, tokenId }) };
  }

  async #devices(user: UserId): Promise<Device[]> {
    return [...(await this.#cells.cellsWithPrefix(user, DEVICE_PREFIX))].map(([key, value]) => ({
      device: key.slice(DEVICE_PREFIX.length) as DeviceId,
      cell: readDevice(value),
    }));
  }
}

type Device = { device: DeviceId; cell: DeviceCell };

/**
 * The devices whose logins are oldest, all but `keptMax`. Concurrent logins do not see each other: they get the same
 * number, and the bound may be exceeded by a few until the next login. Cells without a number are ordered by creation
 * time.
 */
function evictedOf(devices: readonly Device[], keptMax: number): DeviceId[] {
  const oldestFirst = devices.toSorted(
    (a, b) => a.cell.login - b.cell.login || (a.cell.login === 0 ? a.cell.createdAt - b.cell.createdAt : 0),
  );
  return oldestFirst.slice(0, Math.max(0, devices.length - keptMax)).map(({ device }) => device);
}

function deviceKey(device: DeviceId): string {
  return DEVICE_PREFIX + device;
}

const textOfTokenId = (tokenId: Uint8Array): string => Buffer.from(tokenId).toString("base64url");
