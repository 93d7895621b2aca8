/** A device as a socket holds it: it catches up from its cursor, and is told the rest. It throws when something comes that it was told already, or in the wrong place. */
import type { Steps } from "../../../src/base/steps.ts";
import type { AppError } from "../../../src/base/errors.ts";
import type { DeviceId, GroupAddress, UserId } from "../../../src/domain/address.ts";
import type { EntryFrame, ServerFrame } from "../../../src/protocol/frames.ts";
import { CatchUp, CatchUpPage } from "../../../src/home/reading/catch-up.ts";
import { userWithGroupHeads } from "../../../src/home/reading/loading.ts";
import { sendMessage } from "../../../src/home/sending/send-message.ts";
import type { SendReply, Sent } from "../../../src/home/sending/pending-send.ts";
import type { EntryPlace, Session } from "../../../src/home/session.ts";
import type { ShardHost } from "../../../src/node/shard-host.ts";
import type { Random } from "../../support/random.ts";
import type { Shard } from "../../../src/home/shard.ts";

export const CLUB = "#club" as GroupAddress;

/** What a device knows of the world. */
export type Surroundings = {
  readonly random: Random;
  readonly host: ShardHost;
  /** A device comes in, the first time or again. */
  reconnects: number;
  /** The first thing that a device was told in a wrong place. */
  error: unknown;
};

type Wish = { readonly text: string; isSent: boolean };

export class ClubDevice {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly #club: Surroundings;
  /** What the group's entries were, by seq. */
  readonly told = new Map<number, string>();
  readonly #wishes = new Map<string, Wish>();
  #connection: Connection | undefined;
  timeline = 0;
  epoch = "";
  /** How far it has the group's log; undefined: nothing of it. It keeps that when its user leaves. */
  at: number | undefined;
  isIn = false;
  /** Where it was told that its user joined the group (again). */
  #joinedAt = 0;
  mayRest = true;
  #rests = 0;

  constructor(club: Surroundings, user: UserId, device: DeviceId) {
    this.#club = club;
    this.user = user;
    this.device = device;
  }

  get isLive(): boolean {
    return this.#connection?.state === "live";
  }

  /** Sends that are not answered. */
  get owed(): number {
    return !this.isIn ? 0 : [...this.#wishes.values()].filter(({ isSent }) => !isSent).length;
  }

  say(): void {
    if (!this.isLive || !this.isIn) return;
    const ref = `${this.device}-${this.#wishes.size}`;
    this.#wishes.set(ref, { text: `${this.user} says ${ref}`, isSent: false });
    this.#connection!.send(ref, this.#wishes.get(ref)!.text, false);
  }

  disconnect(): void {
    this.#connection?.close();
    this.#rests = Math.floor(this.#club.random() * 40);
  }

  /** Comes in when it is away. @param again says again what was not answered */
  comeOn(again: boolean): void {
    if (this.#connection !== undefined && this.#connection.state !== "closed") {
      if (again && this.isLive && this.isIn)
        for (const [ref, { text, isSent }] of this.#wishes) if (!isSent) this.#connection.send(ref, text, true);
      return;
    }
    if (this.mayRest && this.#rests-- > 0) return;
    this.#club.reconnects++;
    this.#connection = new Connection(this, this.#club);
  }

  // ---- what it is told

  take(frame: ServerFrame): void {
    try {
      this.#take(frame);
    } catch (error) {
      // Whoever calls may go on.
      this.#club.error ??= error;
      throw error;
    }
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case "membership":
        if (frame.seq !== this.timeline + 1)
          throw new Error(`${this.#name} timeline: ${frame.seq} behind ${this.timeline}`);
        this.timeline = frame.seq;
        this.isIn = frame.change === "joined";
        if (!this.isIn) return;
        this.#joinedAt = frame.groupSeq;
        this.at ??= frame.groupSeq - 1;
        return;
      case "group":
      case "message":
        return this.#entry(frame);
      default:
        throw new Error(`${this.#name} was told ${JSON.stringify(frame)}`);
    }
  }

  #entry(frame: Exclude<EntryFrame, { t: "membership" }>): void {
    if (this.#mustResume(frame.seq)) return;
    this.#follows(frame.seq, JSON.stringify(frame));
    this.told.set(frame.seq, frame.t === "message" ? frame.text! : "(change)");
    const isOwn = frame.t === "message" && frame.from === this.user;
    if (isOwn && frame.ref === undefined) throw new Error(`${this.#name}: its own message has no ref`);
  }

  sent(sent: Sent): void {
    try {
      this.#sent(sent);
    } catch (error) {
      this.#club.error ??= error;
      throw error;
    }
  }

  #sent({ ref, seq }: Sent): void {
    const wish = this.#wishes.get(ref)!;
    wish.isSent = true;
    // Of a group that one is not in any more nothing else comes.
    if (!this.isIn || seq <= this.at! || this.#mustResume(seq)) return;
    this.#follows(seq, `sent ${ref}`);
    this.told.set(seq, wish.text);
  }

  /** What it missed before its user joined the group again it has to ask for: it comes again with its cursor. */
  #mustResume(seq: number): boolean {
    if (this.at! + 1 >= this.#joinedAt || seq <= this.at! + 1) return false;
    this.#connection!.close();
    return true;
  }

  #follows(seq: number, what: string): void {
    if (seq !== this.at! + 1) throw new Error(`${this.#name}: ${seq} behind ${this.at}: ${what}`);
    this.at = seq;
  }

  get #name(): string {
    return `${this.user}/${this.device}`;
  }
}

class Connection implements Session, SendReply {
  readonly user: UserId;
  readonly device: DeviceId;
  readonly #of: ClubDevice;
  readonly #home: Shard;
  state: "new" | "catching-up" | "live" | "closed" = "new";
  #catchUp: CatchUp | undefined;
  #isReading = false;

  constructor(of: ClubDevice, club: Surroundings) {
    this.#of = of;
    this.user = of.user;
    this.device = of.device;
    this.#home = club.host.home(of.user);
    this.#home.turns.run(this.#enter()).catch(() => this.close());
  }

  get session(): Session {
    return this;
  }

  *#enter(): Steps<void> {
    const user = (yield* userWithGroupHeads(this.#home, this.user))!;
    if (this.state === "closed") return;
    const { timeline, at } = this.#of;
    this.#of.epoch = user.epoch;
    this.state = "catching-up";
    this.#home.attach(this);
    const groups = at === undefined ? {} : { [CLUB]: { epoch: "e-club", seq: at } };
    this.#catchUp = new CatchUp(this.#home, user, { epoch: user.epoch, timeline, groups, marks: 0 });
    this.#continue();
  }

  #continue(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    setImmediate(() => {
      this.#home.turns
        .run(this.#read())
        .catch(() => this.close())
        .finally(() => (this.#isReading = false));
    });
  }

  *#read(): Steps<void> {
    for (;;) {
      if (this.state !== "catching-up") return;
      const page = new CatchUpPage(7, 1 << 16, this.#home.clock);
      const isPresent = yield* this.#catchUp!.read(page);
      if ((this.state as string) !== "catching-up") return;
      for (const frame of page.frames) this.#of.take(JSON.parse(frame) as ServerFrame);
      if (isPresent) return void (this.state = "live");
      yield;
    }
  }

  entry(_place: EntryPlace, _seq: number, frame: string): void {
    if (this.state === "live") this.#of.take(JSON.parse(frame) as ServerFrame);
    else if (this.state === "catching-up") this.#continue();
  }

  notice(): void {}

  close(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#home.detach(this);
  }

  send(ref: string, text: string, retry: boolean): void {
    const user = this.#home.users.get(this.user)!;
    const rest = sendMessage(this.#home, user, { ref, to: CLUB, text, retry }, this);
    if (rest !== undefined) void this.#home.turns.run(rest);
  }

  sent(sent: Sent): void {
    if (this.state === "live") this.#of.sent(sent);
  }

  refused(_ref: string, _error: AppError): void {}
}
