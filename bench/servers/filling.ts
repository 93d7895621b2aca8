/** Fills a data directory with users, groups and messages, without sockets, for a server to load. */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { loadOrCreateKey } from "../../src/base/key-file.ts";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { isGroup, type Address, type GroupId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { ID_KEY_BYTES, MessageIds } from "../../src/domain/message-id.ts";
import type { Cursor } from "../../src/protocol/frames.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { AccountService } from "../../src/home/accounts/accounts.ts";
import { API_KEYS_FILE, newApiKey } from "../../src/home/accounts/api-keys.ts";
import { additionRates, GroupAdditions } from "../../src/home/groups/group-additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { KnownClients } from "../../src/home/accounts/known-clients.ts";
import { DEFAULT_LOGIN_THROTTLE, LoginThrottle } from "../../src/home/accounts/login-throttle.ts";
import { DEFAULT_PASSWORD_OPTIONS, Passwords } from "../../src/home/accounts/passwords.ts";
import { sendMessage } from "../../src/home/sending/send-message.ts";
import { loadOrCreateTokenKey, Tokens } from "../../src/home/accounts/tokens.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { HandoffProgress } from "../../src/home/handoffs/handoffs.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { openSegmentStore } from "../../storage/files/sqlite-segments.ts";

/** Where the data is when the server starts: in the log alone, in `recent.db`, or in files of each shard. */
export type DataIn = "log" | "recent" | "own";

const LIMITS = { ...DEFAULT_LIMITS, groupMembersMax: 100_000, sendsBurst: 10_000_000, sendsPerSecond: 1_000_000 };
const AT_ONCE = 500;

export class Filling {
  readonly apiKey: string;
  readonly #host: ShardHost;
  readonly #accounts: AccountService;
  readonly #place: DataIn;
  #refs = 0;

  static async open(directory: string, place: DataIn): Promise<Filling> {
    const clock = systemClock;
    const ids = new MessageIds(await loadOrCreateKey(join(directory, "id.key"), ID_KEY_BYTES, systemRandom));
    const logger = createLogger("error", (line) => void process.stderr.write(line), clock.now);
    const segments = place === "own" ? { segments: openSegmentStore({ dir: directory, recentBytesMax: 0 }) } : {};
    const fail = (error: Error): never => {
      throw error;
    };
    const host = await ShardHost.open({ directory, ...segments }, { clock, ids, limits: LIMITS, logger }, fail);
    const accounts = new AccountService({
      cells: createUserCells((user) => host.home(user)),
      passwords: await Passwords.open(DEFAULT_PASSWORD_OPTIONS, systemRandom),
      tokens: await Tokens.open(await loadOrCreateTokenKey(directory, systemRandom), clock),
      throttle: new LoginThrottle(DEFAULT_LOGIN_THROTTLE, clock),
      clients: new KnownClients(new Uint8Array(ID_KEY_BYTES)),
      clock,
      random: systemRandom,
    });
    const { record, key } = newApiKey("bench", clock, systemRandom);
    await Bun.write(join(directory, API_KEYS_FILE), JSON.stringify([record]));
    return new Filling(host, accounts, place, key);
  }

  private constructor(host: ShardHost, accounts: AccountService, place: DataIn, apiKey: string) {
    this.apiKey = apiKey;
    this.#host = host;
    this.#accounts = accounts;
    this.#place = place;
  }

  /** `NAME0` … */
  async users(name: string, count: number): Promise<UserId[]> {
    const users = Array.from({ length: count }, (_, i) => `${name}${i}` as UserId);
    await inBatches(users, (user) => this.#accounts.createUser({ user }));
    return users;
  }

  token(user: UserId): Promise<Credentials> {
    return this.#accounts.createToken({ user });
  }

  /** The cursor of a device that has everything. */
  cursorOf(user: UserId): Cursor {
    const state = this.#host.users.get(user)!;
    const groups: Cursor["groups"] = {};
    for (const { address, joinedSeq } of state.conversations.values()) {
      const group = joinedSeq > 0 && isGroup(address) ? this.#host.groups.get(address) : undefined;
      if (group !== undefined) groups[address] = { epoch: group.epoch, seq: group.headSeq };
    }
    return { epoch: state.epoch, timeline: state.headSeq, groups, marks: state.markCount };
  }

  async group(creator: UserId, id: string, members: UserId[]): Promise<Address> {
    const additions = new GroupAdditions(additionRates(members.length + 1, Number.MAX_SAFE_INTEGER), systemClock);
    const groups = createGroups((user) => this.#host.home(user), systemRandom, additions);
    await groups.create(actor(creator), { id: id as GroupId, name: id, members });
    return `#${id}` as Address;
  }

  send(from: UserId, to: Address, text: string): Promise<void> {
    const host = this.#host;
    return new Promise((resolve, reject) => {
      const request = { ref: `f-${++this.#refs}`, to, text, retry: false };
      const reply = { session: undefined, sent: () => resolve(), refused: (_: string, error: Error) => reject(error) };
      const rest = sendMessage(host.home(from), host.users.get(from)!, request, reply);
      if (rest !== undefined) void host.turns.run(rest);
    });
  }

  /** Puts the data in its place and closes the directory. */
  async close(): Promise<void> {
    const { store } = this.#host;
    // Without these marks the server would load all users to offer handoffs again.
    if (this.#place !== "log") new HandoffProgress(this.#host.logger).write(this.#host.shards());
    await store.idle();
    if (this.#place !== "log") await store.flushAll(() => false);
    this.#host.stop();
    await store.close();
  }
}

export async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}

const actor = (user: UserId): Actor => ({ user, device: "fill" }) as Actor;
