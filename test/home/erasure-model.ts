/** What everybody should see of a history of messages, erasures and crashes: the model, and the shards that are held against it. */
import { expect } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { atOnce } from "../../src/base/steps.ts";
import { createLogger } from "../../src/base/logger.ts";
import {
  shardOf,
  userAddress,
  type Address,
  type DeviceId,
  type GroupAddress,
  type UserId,
} from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import type { ServerFrame } from "../../src/protocol/frames.ts";
import { CatchUp, CatchUpPage } from "../../src/home/reading/catch-up.ts";
import { readsForTests } from "../support/reads.ts";
import { createHistory } from "../../src/home/reading/history.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import {
  beingErased,
  eraseRequested,
  erasureStatus,
  finishErasure,
  requestErasure,
} from "../../src/home/erasing/erase-user.ts";
import { createGroup } from "../../src/home/groups/group-changes.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { MemorySegments } from "../storage/files/memory-segments.ts";
import type { Random as DiskRandom } from "../support/random.ts";
import { SimulatedDisk } from "../storage/vfs/simulated-disk.ts";

export const USERS = ["ann", "ben", "cat"] as UserId[];
export const GROUP = "#club" as GroupAddress;
const DEVICE = "d" as DeviceId;
const NEVER = (): boolean => false;
const ALWAYS = (): boolean => true;

type Message = {
  seq: number;
  conversation: Address;
  from: UserId;
  text: string;
  at: number;
  isGone: boolean;
  fromSeq: number;
};

const fail = (error: unknown): never => {
  throw error;
};

export class ErasureModel {
  readonly timelines = new Map<UserId, Message[]>(USERS.map((user) => [user, []]));
  readonly posted: Message[] = [];
  /** How far each has read a conversation of the timeline. */
  readonly reads = new Map<string, number>();
  readonly refs: { from: UserId; to: Address; text: string; ref: string; id: string; seq: number }[] = [];
  nowMs = 1_763_740_800_000;
  host!: ShardHost;
  #disk = new SimulatedDisk();
  #segments = new MemorySegments();
  #releaseFlush: (() => void) | undefined;
  #flushing: Promise<void> | undefined;
  #erasing: Promise<void> | undefined;
  #isStopped = NEVER;
  readonly #random: DiskRandom;
  readonly #ids = new MessageIds(new Uint8Array(16));
  #says = 0;

  constructor(random: DiskRandom) {
    this.#random = random;
  }

  async begin(): Promise<void> {
    await this.#open();
    for (const user of USERS) {
      const profile = encodeProfile(user, { createdAt: this.nowMs, displayName: user });
      await writeUserCells(this.host.home(user), user, [["profile", profile]]);
    }
    const detail = { change: "created", by: USERS[0]!, at: this.nowMs, name: "Club", members: USERS } as const;
    await createGroup(this.host.shard(shardOf(GROUP)), GROUP, "e-club", { ...detail, members: [...USERS] });
    this.posted.push({ seq: 1, conversation: GROUP, from: USERS[0]!, text: "", at: 0, isGone: false, fromSeq: 0 });
    for (const user of USERS) this.#entry(user, GROUP, user, "", 0);
    await this.host.arrivalsIdle();
    await this.host.store.idle();
  }

  async say(from: UserId, to: Address, ref = `d-${++this.#says}`): Promise<void> {
    const text = `${ref} from ${from}`;
    this.nowMs += 1000;
    const { message } = await createMessaging((user) => this.host.home(user)).send(
      { user: from, device: DEVICE },
      { to, text, ref, retry: true },
    );
    this.refs.push({ from, to, text, ref, id: message.id, seq: message.seq });
    const at = this.nowMs;
    if (to === GROUP) {
      this.posted.push({ seq: message.seq, conversation: GROUP, from, text, at, isGone: false, fromSeq: 0 });
      return;
    }
    this.#entry(from, to, from, text, message.seq);
    if (to !== userAddress(from)) this.#entry(to.slice(1) as UserId, userAddress(from), from, text, message.seq);
  }

  /** Says what was said before: nothing may come of it. */
  async sayAgain(which: number): Promise<void> {
    const said = this.refs[which % Math.max(1, this.refs.length)];
    if (said === undefined) return;
    const { from, to, text, ref, id, seq } = said;
    const messaging = createMessaging((user) => this.host.home(user));
    const { message, duplicate } = await messaging.send({ user: from, device: DEVICE }, { to, text, ref, retry: true });
    expect({ id: message.id, seq: message.seq, duplicate }).toEqual({ id, seq, duplicate: true });
  }

  /** @param cutOffAfter writes of the log after which a crash comes */
  async erase(user: UserId, cutOffAfter: number | undefined): Promise<void> {
    await requestErasure(this.host.home(user), user);
    for (const message of this.timelines.get(user)!) if (message.conversation !== GROUP) message.isGone = true;
    for (const timeline of this.timelines.values())
      for (const message of timeline)
        if (message.from === user && message.conversation !== GROUP) message.isGone = true;
    for (const message of this.posted) if (message.from === user && message.seq > 1) message.isGone = true;
    if (cutOffAfter !== undefined) {
      this.#erasing = this.#eraseAll(this.host).catch((error: unknown) => expect(error).toBeInstanceOf(AppError));
      for (let i = 0; i < cutOffAfter; i++) await this.host.store.idle();
      await this.crash();
    }
    await this.#untilErased();
    expect(erasureStatus(this.host.users.get(user)!).state).toBe("done");
  }

  /** Messages that are older than so many have become too old. */
  async keep(newest: number): Promise<void> {
    const times = [...this.timelines.values(), this.posted].flat().map(({ at }) => at);
    const from = times.toSorted((a, b) => b - a)[newest];
    if (from === undefined) return;
    for (const list of [...this.timelines.values(), this.posted])
      for (const message of list) if (message.text !== "" && message.at < from) message.isGone = true;
    this.release();
    for (const address of [...USERS.map(userAddress), GROUP])
      await eraseBefore(this.host.ownerOf(address), address, from, NEVER);
  }

  async read(user: UserId, other: UserId, part: number): Promise<void> {
    const conversation = userAddress(other);
    const lane = this.timelines.get(user)!.filter((message) => message.conversation === conversation);
    const message = lane[Math.floor(part * lane.length)];
    if (message === undefined) return;
    this.host.home(user).marks.received(this.host.users.get(user)!, message.seq as never);
    this.host.home(user).marks.read(this.host.users.get(user)!, conversation, message.seq as never);
    this.host.markTurns.hurry();
    await this.host.store.idle();
    const key = `${user} ${conversation}`;
    this.reads.set(key, Math.max(this.reads.get(key) ?? 0, message.seq));
  }

  flush(): Promise<void> {
    this.release();
    return this.host.store.flushAll(NEVER);
  }

  /** A flush that does not end before `release`, or never. */
  holdFlush(): void {
    if (this.#releaseFlush !== undefined) return;
    const held = Promise.withResolvers<void>();
    this.#releaseFlush = held.resolve;
    this.#segments.beforeFlush = () => held.promise;
    this.#flushing = this.host.store.flushAll(NEVER);
  }

  release(): void {
    this.#releaseFlush?.();
    this.#releaseFlush = undefined;
    this.#segments.beforeFlush = async () => {};
  }

  async restart(): Promise<void> {
    this.release();
    await this.#flushing;
    this.host.markTurns.stop();
    await this.flush();
    await this.host.store.close();
    this.#segments = MemorySegments.of(this.#segments.flushed);
    await this.#open();
  }

  async crash(): Promise<void> {
    const left = this.#disk.afterCrash("kill", this.#random);
    const flushed = [...this.#segments.flushed];
    const dead = this.host;
    this.release();
    dead.markTurns.stop();
    this.#disk = left;
    this.#segments = MemorySegments.of(flushed);
    this.#isStopped = ALWAYS;
    await this.#erasing;
    this.#isStopped = NEVER;
    await dead.store.close();
    await this.#open();
  }

  /** Every device of everybody, however it reads, sees the same. */
  async expectAll(): Promise<void> {
    for (const user of USERS) {
      this.#expectFrames(user);
      for (const other of USERS) await this.#expectConversation(user, userAddress(other));
      await this.#expectConversation(user, GROUP);
    }
  }

  close(): Promise<void> {
    this.release();
    this.host.markTurns.stop();
    return this.host.store.close();
  }

  #entry(user: UserId, conversation: Address, from: UserId, text: string, fromSeq: number): void {
    const timeline = this.timelines.get(user)!;
    timeline.push({
      seq: timeline.length + 1,
      conversation,
      from,
      text,
      at: text === "" ? 0 : this.nowMs,
      isGone: false,
      fromSeq,
    });
  }

  #expectFrames(user: UserId): void {
    const state = this.host.users.get(user)!;
    const catchUp = new CatchUp(this.host.home(user), state, { epoch: "", timeline: 0, groups: {}, marks: 0 });
    const frames: ServerFrame[] = [];
    for (let isPresent = false; !isPresent;) {
      const page = new CatchUpPage(100, 1 << 20, this.host.clock);
      isPresent = atOnce(catchUp.read(page));
      frames.push(...page.frames.map((frame) => JSON.parse(frame) as ServerFrame));
    }
    const seen = frames.filter((frame) => frame.t !== "receipt").map(shown);
    const own = this.timelines.get(user)!.map((message) => expected(message));
    expect(seen).toEqual([...own, ...this.posted.map((message) => expected(message))]);
  }

  async #expectConversation(user: UserId, address: Address): Promise<void> {
    const history = createHistory((user) => this.host.home(user), readsForTests());
    const actor = { user, device: DEVICE };
    const list = address === GROUP ? this.posted.slice(1) : this.timelines.get(user)!;
    const lane = list.filter(({ conversation }) => conversation === address);
    const forward = await history.page(actor, address, { after: 0, limit: 200 });
    const backward = await history.page(actor, address, { limit: 200 });
    expect(forward.messages.map(shownMessage)).toEqual(lane.map((message) => expected(message)));
    expect(backward.messages.map(shownMessage)).toEqual(lane.map((message) => expected(message)));
    if (address === GROUP) return;
    const { unread, lastSeq } = await history.conversation(actor, address, 1);
    const read = this.reads.get(`${user} ${address}`) ?? 0;
    const isUnread = ({ seq, from, isGone }: Message) => from !== user && !isGone && seq > read;
    expect([unread, lastSeq]).toEqual([lane.filter(isUnread).length, lane.at(-1)?.seq ?? 0]);
  }

  async #untilErased(): Promise<void> {
    const erased = this.#eraseAll(this.host);
    this.release();
    await erased;
  }

  async #eraseAll(host: ShardHost): Promise<void> {
    for (const user of USERS) {
      if (!beingErased(host.log(userAddress(user))).includes(user)) continue;
      await eraseRequested(host.home(user), user, { isStopped: () => this.#isStopped(), tidy: async () => {} });
      await finishErasure(host.home(user), user);
    }
  }

  async #open(): Promise<void> {
    const clock = {
      now: () => this.nowMs,
      monotonicMs: () => performance.now(),
      // What would wait, comes in the next turn.
      after(_ms: number, run: () => void) {
        const turn = setImmediate(run);
        return () => clearImmediate(turn);
      },
    };
    const storage = { directory: "/data", files: this.#disk.files, segments: this.#segments, markAfterMs: 0 };
    const logger = createLogger("error", fail, () => 0);
    const limits = { ...DEFAULT_LIMITS, sendsPerSecond: 1_000_000, sendsBurst: 1_000_000 };
    this.#flushing = undefined;
    this.host = await ShardHost.open(storage, { clock, ids: this.#ids, limits, logger }, fail);
    await this.host.offerAll();
  }
}

function expected({ seq, conversation, from, text, isGone }: Message): string {
  if (isGone) return `${seq} ${conversation} gone`;
  return text === "" ? `${seq} ${conversation} change` : `${seq} ${conversation} ${from} ${text}`;
}

function shown(frame: ServerFrame): string {
  if (frame.t === "message") return shownMessage(frame);
  if (frame.t === "membership" || frame.t === "group") return `${frame.seq} ${frame.conversation} change`;
  return JSON.stringify(frame);
}

function shownMessage({
  seq,
  conversation,
  from,
  text,
  deletedAt,
}: {
  seq: number;
  conversation: string;
  from: string;
  text?: string;
  deletedAt?: number;
}): string {
  return deletedAt === undefined ? `${seq} ${conversation} ${from} ${text}` : `${seq} ${conversation} gone`;
}
