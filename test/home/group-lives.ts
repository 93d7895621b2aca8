/**
 * People who create, join, leave and dissolve groups of few ids again and again, and a model of it: who was in which life
 * of an id, and what was said in it. Each person has a device that polls now and then, and a session that is told at once.
 */
import { expect } from "bun:test";
import { whenThere } from "../../src/base/later.ts";
import { systemRandom } from "../../src/base/random.ts";
import { groupAddress, nameOf, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import type { Cursor, ServerFrame, StreamPosition } from "../../src/protocol/frames.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { createHistory } from "../../src/home/reading/history.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { createSync } from "../../src/home/reading/sync.ts";
import type { Actor } from "../../src/home/services.ts";
import type { Home } from "../../src/home/shard.ts";
import type { Session } from "../../src/home/session.ts";
import { RestartedShards } from "./restarted-shards.ts";
import { additionsForTests } from "../support/additions.ts";
import { readsForTests } from "../support/reads.ts";

export const PEOPLE = ["ann", "ben", "cat", "dan"] as UserId[];
export const IDS = ["club", "crew"] as GroupId[];

const FROM_THE_BEGINNING: Cursor = { epoch: "", timeline: 0, groups: {}, marks: 0 };

/** `ever`: everybody who was in it at some time. `bornSeq`: its first seq, `texts`: what was said in it. */
type Life = {
  no: number;
  bornSeq: number;
  ever: Set<UserId>;
  members: Set<UserId>;
  admins: Set<UserId>;
  texts: string[];
};

/** `at`: what a device has of a group, by what it was told: the next entry must follow it. */
type Device = { cursor: Cursor; at: Map<string, StreamPosition> };

const newDevice = (): Device => ({ cursor: FROM_THE_BEGINNING, at: new Map() });

export class Lives {
  readonly shards = new RestartedShards();
  readonly #home: Home = (user) => this.shards.host.home(user);
  readonly #groups = createGroups(this.#home, systemRandom, additionsForTests());
  readonly #history = createHistory(this.#home, readsForTests());
  readonly #messaging = createMessaging(this.#home);
  readonly #sync = createSync(this.#home, readsForTests());
  readonly #lives = new Map<GroupAddress, Life[]>();
  readonly #heads = new Map<GroupAddress, number>();
  readonly #devices = new Map<UserId, Device>();
  #posts = 0;

  async begin(): Promise<void> {
    await this.shards.begin(PEOPLE, "#others" as GroupAddress);
    for (const user of PEOPLE) this.#devices.set(user, newDevice());
    this.attach();
  }

  /** After each start. */
  attach(): void {
    for (const user of PEOPLE) this.shards.host.attach(this.#session(user));
  }

  // ---- what happens

  async create(id: GroupId, by: UserId, others: UserId[]): Promise<void> {
    const address = groupAddress(id);
    const creating = this.#groups.create(actor(by), { id, name: id, members: others });
    const former = this.#present(address);
    if (former !== undefined && former.members.size > 0) {
      expect(await codeOf(creating)).toBe("group_taken");
      return;
    }
    const members = new Set([by, ...others]);
    const no = (this.#lives.get(address)?.length ?? 0) + 1;
    const life = {
      no,
      bornSeq: this.#head(address) + 1,
      ever: new Set(members),
      members,
      admins: new Set([by]),
      texts: [],
    };
    // Sessions are told before the answer is there.
    this.#lives.set(address, [...(this.#lives.get(address) ?? []), life]);
    const group = await creating;
    expect(group.head.seq).toBe(this.#rise(address));
    expect(group.keepDays).toBeUndefined();
    expect(new Set(group.members.map(({ user }) => user))).toEqual(members as Set<string>);
  }

  async add(id: GroupId, by: UserId, user: UserId): Promise<void> {
    const address = groupAddress(id);
    const life = this.#present(address);
    if (life === undefined || !life.admins.has(by) || life.members.has(user)) return;
    life.ever.add(user);
    const code = await codeOf(this.#groups.putMember(actor(by), address, user, "member"));
    // Who has left this life is not added again.
    if (code === "forbidden") return;
    expect(code).toBeUndefined();
    life.members.add(user);
    this.#rise(address);
  }

  async comeBack(id: GroupId, user: UserId): Promise<void> {
    const address = groupAddress(id);
    const life = this.#present(address);
    if (life?.members.has(user) === true) return;
    const mayBeIn = life !== undefined && life.ever.has(user) && life.members.size > 0;
    const code = await codeOf(this.#groups.putMember(actor(user), address, user, "member"));
    if (code !== undefined) return;
    expect(mayBeIn).toBe(true);
    life!.members.add(user);
    this.#rise(address);
  }

  async leave(id: GroupId, user: UserId): Promise<void> {
    const address = groupAddress(id);
    const life = this.#present(address);
    const isIn = life?.members.has(user) === true;
    const code = await codeOf(this.#groups.removeMember(actor(user), address, user));
    if (!isIn) {
      expect(["unknown_address", "not_a_member"]).toContain(code!);
      return;
    }
    life.members.delete(user);
    life.admins.delete(user);
    // An heir may have been made: one entry more. The group itself says who leads it.
    const group = this.shards.host.groups.get(address)!;
    this.#heads.set(address, group.headSeq);
    life.admins = new Set([...life.members].filter((member) => group.isAdmin(member)));
  }

  async dissolve(id: GroupId, by: UserId): Promise<void> {
    const address = groupAddress(id);
    const life = this.#present(address);
    const mayEnd = life?.admins.has(by) === true;
    const code = await codeOf(this.#groups.dissolve(actor(by), address));
    if (!mayEnd) {
      expect(["unknown_address", "not_a_member", "forbidden"]).toContain(code!);
      return;
    }
    expect(code).toBeUndefined();
    life.members.clear();
    life.admins.clear();
    this.#rise(address);
  }

  /** All leave, or whoever leads it dissolves it. */
  async end(id: GroupId, byLeaving: boolean): Promise<void> {
    const life = this.#present(groupAddress(id));
    if (!byLeaving) for (const admin of [...(life?.admins ?? [])].slice(0, 1)) await this.dissolve(id, admin);
    for (const user of [...(life?.members ?? [])]) await this.leave(id, user);
  }

  async post(id: GroupId, by: UserId, times: number): Promise<void> {
    for (let n = 0; n < times; n++) await this.#post(id, by);
  }

  async #post(id: GroupId, by: UserId): Promise<void> {
    const address = groupAddress(id);
    const life = this.#present(address);
    const text = `${address} ${life?.no ?? 0} ${++this.#posts}`;
    const sending = this.#messaging.send(actor(by), { to: address, text, ref: `r-${this.#posts}`, retry: false });
    if (life?.members.has(by) !== true) {
      expect(["unknown_address", "not_a_member"]).toContain((await codeOf(sending))!);
      return;
    }
    life.texts.push(text);
    expect((await sending).message.seq).toBe(this.#rise(address));
  }

  async mark(id: GroupId, by: UserId, share: number): Promise<void> {
    const address = groupAddress(id);
    if (this.#present(address)?.members.has(by) !== true) return;
    const seq = Math.ceil(this.#head(address) * share) as never;
    const user = this.shards.host.users.get(by)!;
    this.shards.host.home(user.user).marks.receivedIn(user, address, seq);
    this.shards.host.home(user.user).marks.read(user, address, seq);
    this.shards.host.markTurns.hurry();
    await this.shards.host.store.idle();
  }

  /** The device comes back with its cursor, or a new one with none. */
  async poll(user: UserId, isNew: boolean): Promise<void> {
    if (isNew) this.#devices.set(user, newDevice());
    const device = this.#devices.get(user)!;
    for (let more = true; more;) {
      const reply = await whenThere(this.#sync.poll(actor(user), device.cursor, 0, new AbortController().signal));
      for (const frame of reply.frames) this.#take(user, device, frame);
      device.cursor = reply.cursor;
      // The cursor is all that a device keeps: a group that it does not name is unknown to the device.
      for (const group of device.at.keys()) if (reply.cursor.groups[group] === undefined) device.at.delete(group);
      for (const [group, position] of Object.entries(reply.cursor.groups))
        expect([group, device.at.get(group)]).toEqual([group, position]);
      ({ more } = reply);
    }
    for (const [address, life] of this.#presents()) {
      if (!life.members.has(user)) continue;
      expect([address, device.cursor.groups[address]?.seq]).toEqual([address, this.#head(address)]);
      expect(device.at.get(address)?.seq).toBe(this.#head(address));
    }
  }

  // ---- what is to be true

  async expectAll(): Promise<void> {
    for (const [address, life] of this.#presents())
      for (const user of PEOPLE)
        if (life.members.has(user)) await this.#expectMember(user, address, life);
        else await this.#expectStranger(user, address, life);
  }

  async #expectMember(user: UserId, address: GroupAddress, life: Life): Promise<void> {
    const forward = await this.#history.page(actor(user), address, { after: 0, limit: 5000 });
    const backward = await this.#history.page(actor(user), address, { limit: 5000 });
    for (const { messages } of [forward, backward]) expect(messages.map(({ text }) => text)).toEqual(life.texts);
    expect([forward.before, backward.before]).toEqual([undefined, undefined]);
    const { frames, more } = await this.#history.entries(actor(user), { conversation: address, after: 0, limit: 5000 });
    const seqs = frames.map((frame) => ("seq" in frame ? frame.seq : 0));
    const head = this.#head(address);
    expect(more).toBe(false);
    expect(seqs).toEqual(Array.from({ length: head - life.bornSeq + 1 }, (_, n) => life.bornSeq + n));
    const { epoch } = this.shards.host.groups.get(address)!;
    expect(frames[0]).toMatchObject({ t: "group", change: "created", epoch });
    const shown = await this.#history.conversation(actor(user), address, 5000);
    expect(shown.unread).toBeLessThanOrEqual(life.texts.length);
    expect(shown.messages.map(({ text }) => text)).toEqual(life.texts);
    for (const mark of [shown.readThrough, shown.deliveredThrough])
      if (mark > 0) expect(mark).toBeGreaterThanOrEqual(life.bornSeq);
  }

  async #expectStranger(user: UserId, address: GroupAddress, life: Life): Promise<void> {
    const isFormer = life.members.size > 0 && life.ever.has(user);
    const expected = isFormer ? ["not_a_member", "unknown_address"] : ["unknown_address"];
    for (const call of [
      this.#history.page(actor(user), address, { limit: 5000 }),
      this.#history.entries(actor(user), { conversation: address, after: 0, limit: 5000 }),
      this.#history.conversation(actor(user), address, 1),
      this.#groups.get(actor(user), address),
    ])
      expect(expected).toContain((await codeOf(call))!);
    const { conversations } = await this.#history.conversations(actor(user), { limit: 5000, messages: 0 });
    expect(conversations.map(({ conversation }) => conversation)).not.toContain(address);
  }

  /** What nobody may be shown who was in no life of it. */
  #mustBeAllowed(user: UserId, frame: ServerFrame): void {
    if (frame.t === "message" && IDS.includes(nameOf(frame.conversation as GroupAddress) as GroupId)) {
      const [address, no] = frame.text!.split(" ");
      const life = this.#lives.get(address as GroupAddress)![Number(no) - 1]!;
      expect([user, frame.text, life.ever.has(user)]).toEqual([user, frame.text, true]);
    }
    if (frame.t !== "group" || !this.#lives.has(frame.conversation as GroupAddress)) return;
    const life = this.#lives.get(frame.conversation as GroupAddress)!.findLast(({ bornSeq }) => bornSeq <= frame.seq)!;
    expect([user, frame, life.ever.has(user)]).toEqual([user, frame, true]);
  }

  /** As the protocol says that a device is to. */
  #take(user: UserId, { at }: Device, frame: ServerFrame): void {
    this.#mustBeAllowed(user, frame);
    if (frame.t === "reset") {
      const { epoch, headSeq } = this.shards.host.groups.get(frame.conversation as GroupAddress)!;
      at.set(frame.conversation!, { epoch, seq: headSeq });
    }
    if (frame.t === "membership" && frame.change === "joined" && at.get(frame.conversation)?.epoch !== frame.epoch)
      at.set(frame.conversation, { epoch: frame.epoch, seq: frame.groupSeq - 1 });
    const isOfGroup = frame.t === "group" || (frame.t === "message" && frame.conversation.startsWith("#"));
    if (!isOfGroup) return;
    const position = at.get(frame.conversation);
    expect([frame, position?.seq]).toEqual([frame, frame.seq - 1]);
    position!.seq = frame.seq;
  }

  #session(user: UserId): Session {
    const rising = new Map<string, number>();
    return {
      user,
      device: "live" as Session["device"],
      entry: (place, seq, text) => {
        if (place === "timeline") return;
        expect([user, place, seq > (rising.get(place) ?? 0)]).toEqual([user, place, true]);
        rising.set(place, seq);
        this.#mustBeAllowed(user, JSON.parse(text) as ServerFrame);
      },
      notice: (text) => {
        const frame = JSON.parse(text) as ServerFrame;
        if (frame.t !== "receipt" || !this.#lives.has(frame.conversation as GroupAddress)) return;
        expect(frame.seq).toBeGreaterThanOrEqual(this.#present(frame.conversation as GroupAddress)!.bornSeq);
      },
      close: () => {},
    };
  }

  #present(address: GroupAddress): Life | undefined {
    return this.#lives.get(address)?.at(-1);
  }

  *#presents(): Iterable<[GroupAddress, Life]> {
    for (const [address, lives] of this.#lives) yield [address, lives.at(-1)!];
  }

  #head(address: GroupAddress): number {
    return this.#heads.get(address) ?? 0;
  }

  #rise(address: GroupAddress): number {
    const seq = this.#head(address) + 1;
    this.#heads.set(address, seq);
    return seq;
  }
}

const actor = (user: UserId): Actor => ({ user, device: "phone" as Actor["device"] });

/** Undefined when it was not refused. */
const codeOf = async (call: Promise<unknown>): Promise<string | undefined> =>
  call.then(
    () => undefined,
    (error: { code?: string }) => error.code ?? "no AppError",
  );
