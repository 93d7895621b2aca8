/** People who talk, in groups and one to one, on shards that are stopped and killed, by a clock that anybody may set. */
import { AccountService } from "../../src/home/accounts/accounts.ts";
import { systemRandom } from "../../src/base/random.ts";
import {
  shardOf,
  userAddress,
  type Address,
  type DeviceId,
  type GroupAddress,
  type UserId,
} from "../../src/domain/address.ts";
import type { GroupChangeDetail } from "../../src/domain/entries.ts";
import type { Limits } from "../../src/protocol/frames.ts";
import type { Conversation } from "../../src/protocol/http-shapes.ts";
import { createHistory } from "../../src/home/reading/history.ts";
import { KnownClients } from "../../src/home/accounts/known-clients.ts";
import { DEFAULT_LOGIN_THROTTLE, LoginThrottle } from "../../src/home/accounts/login-throttle.ts";
import { DEFAULT_PASSWORD_OPTIONS, Passwords, type PasswordHashing } from "../../src/home/accounts/passwords.ts";
import { Tokens } from "../../src/home/accounts/tokens.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { changeGroup, createGroup } from "../../src/home/groups/group-changes.ts";
import type { GroupState } from "../../src/home/state/group-state.ts";
import type { ShardHost } from "../../src/node/shard-host.ts";
import type { Seq } from "../../storage/types.ts";
import { RestartedShards } from "./restarted-shards.ts";
import { HandClock } from "./hand-clock.ts";
import { readsForTests } from "../support/reads.ts";

export const PEOPLE = ["ann", "ben", "cat", "dan"] as UserId[];
export const CLUB = "#club" as GroupAddress;
export const CREW = "#crew" as GroupAddress;
export const GROUPS = [CLUB, CREW];
/** Whom one may write to. */
export const ADDRESSES: Address[] = [...PEOPLE.map(userAddress), ...GROUPS];

const NO_PASSWORDS: PasswordHashing = { hash: async () => "", verify: async () => false };
const DEVICES_MAX = 3;

export class Talk {
  readonly shards: RestartedShards;
  readonly #history = createHistory((user) => this.host.home(user), readsForTests());
  #refs = 0;
  #accounts!: AccountService;

  constructor(limits: Partial<Limits> = {}) {
    this.shards = new RestartedShards(1000, limits);
  }

  get host(): ShardHost {
    return this.shards.host;
  }

  /** Everybody is in one group, and the first two are in another. */
  async begin(): Promise<void> {
    await this.shards.begin(PEOPLE, CLUB);
    const members = PEOPLE.slice(0, 2);
    const at = this.shards.wallMs;
    await createGroup(this.host.shard(shardOf(CREW)), CREW, "e-crew", {
      change: "created",
      by: PEOPLE[0]!,
      at,
      name: "Crew",
      members,
    });
    const clock = new HandClock();
    this.#accounts = new AccountService({
      cells: createUserCells((user) => this.host.home(user)),
      passwords: await Passwords.open(DEFAULT_PASSWORD_OPTIONS, systemRandom, NO_PASSWORDS),
      tokens: await Tokens.open(new Uint8Array(32), clock),
      throttle: new LoginThrottle(DEFAULT_LOGIN_THROTTLE, clock),
      clients: new KnownClients(new Uint8Array(16)),
      clock: Object.assign(new HandClock(), { now: () => this.shards.wallMs }),
      random: systemRandom,
      devicesMax: DEVICES_MAX,
    });
  }

  group(address: GroupAddress): GroupState {
    return this.host.groups.get(address)!;
  }

  mayWrite(from: UserId, to: Address): boolean {
    const group = GROUPS.find((one) => one === to);
    return group === undefined || this.group(group).members.has(from);
  }

  /** All at once. @returns the seqs, as the sender sees them */
  async say(from: UserId, to: Address, times = 1): Promise<number[]> {
    const requests = Array.from({ length: times }, () => ({
      to,
      text: "hello",
      ref: `r-${++this.#refs}`,
      retry: true,
    }));
    const answers = await Promise.all(requests.map((request) => this.shards.send(from, request)));
    return answers.map(({ sent, code }) => {
      if (sent === undefined) throw new Error(`${from} to ${to}: ${code}`);
      return sent.seq;
    });
  }

  async change(address: GroupAddress, detail: Omit<GroupChangeDetail, "at" | "by">): Promise<void> {
    const change = { by: PEOPLE[0]!, at: this.shards.wallMs, ...detail };
    const group = this.group(address);
    await changeGroup(this.host.shard(group.log.shard), group, change);
    await this.host.arrivalsIdle();
    await this.host.store.idle();
  }

  /** Another group under the id of one that nobody is in. */
  async again(address: GroupAddress, members: UserId[]): Promise<void> {
    const epoch = `e-${++this.#refs}`;
    await createGroup(this.host.shard(shardOf(address)), address, epoch, {
      change: "created",
      by: PEOPLE[0]!,
      at: this.shards.wallMs,
      name: epoch,
      members,
    });
    await this.host.arrivalsIdle();
    await this.host.store.idle();
  }

  async received(user: UserId, seq: number): Promise<void> {
    this.host.home(user).marks.received(this.host.users.get(user)!, seq as Seq);
    await this.#marked();
  }

  async receivedIn(user: UserId, group: GroupAddress, seq: number): Promise<void> {
    this.host.home(user).marks.receivedIn(this.host.users.get(user)!, group, seq as Seq);
    await this.#marked();
  }

  async read(user: UserId, address: Address, seq: number): Promise<void> {
    this.host.home(user).marks.read(this.host.users.get(user)!, address, seq as Seq);
    await this.#marked();
  }

  async logIn(user: UserId, device: string): Promise<void> {
    await this.#accounts.createToken({ user, device: device as DeviceId });
  }

  devices(user: UserId): string[] {
    const { log } = this.host.home(user);
    const keys = [...log.cells(userAddress(user)).keys()];
    return keys.filter((key) => key.startsWith("device/")).toSorted();
  }

  /** All of the list, in pages of so many. `between` happens after each page but the last. */
  async list(user: UserId, limit = 200, between: () => Promise<void> = async () => {}): Promise<Conversation[]> {
    const found: Conversation[] = [];
    for (let before: string | undefined; ;) {
      const question = { limit, messages: 1, ...(before === undefined ? {} : { before }) };
      const page = await this.#history.conversations({ user, device: "d" as DeviceId }, question);
      found.push(...page.conversations);
      ({ before } = page);
      if (before === undefined) return found;
      await between();
    }
  }

  async #marked(): Promise<void> {
    this.host.markTurns.hurry();
    await this.host.store.idle();
  }
}
