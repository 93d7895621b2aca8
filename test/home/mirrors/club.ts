/**
 * People with devices who talk in a group that their homes follow, while what crosses between shards is lost, repeated, late and out of order. Each device checks what it
 * is told: every entry of the group in its place, once.
 */
import { expect } from "bun:test";
import { createLogger } from "../../../src/base/logger.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { nextTurn } from "../../../src/base/steps.ts";
import { shardOf, type DeviceId, type UserId } from "../../../src/domain/address.ts";
import { readGroupEntry } from "../../../src/domain/entries.ts";
import { DEFAULT_LIMITS } from "../../../src/domain/limits.ts";
import { MessageIds } from "../../../src/domain/message-id.ts";
import { createGroups } from "../../../src/home/groups/groups.ts";
import type { Actor } from "../../../src/home/services.ts";
import { encodeProfile } from "../../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../../src/home/durable.ts";
import { createGroup } from "../../../src/home/groups/group-changes.ts";
import { FollowedMirrors } from "../../../src/home/mirrors/followed-mirrors.ts";
import { ShardHost } from "../../../src/node/shard-host.ts";
import type { Seq } from "../../../storage/types.ts";
import { MemorySegments } from "../../storage/files/memory-segments.ts";
import { SimulatedDisk } from "../../storage/vfs/simulated-disk.ts";
import { HandClock } from "../hand-clock.ts";
import { additionsForTests } from "../../support/additions.ts";
import { FaultyRouter } from "../../support/faulty-router.ts";
import { FaultyWire, type Faults } from "../../support/faulty-wire.ts";
import { randomFrom, type Random } from "../../support/random.ts";
import { CLUB, ClubDevice, type Surroundings } from "./club-device.ts";

export const ANN = "ann" as UserId;
/** Come and go. */
export const GUESTS = ["cat", "dan"] as UserId[];
export const PEOPLE = [ANN, "ben" as UserId, ...GUESTS];
const DEVICES = ["one", "two"] as DeviceId[];
const TURN_MS = 5;
const SETTLE_TURNS_MAX = 8000;
const ID_KEY = new Uint8Array(16);

export class Club implements Surroundings {
  readonly random: Random;
  readonly wire: FaultyWire;
  readonly clock = new HandClock();
  readonly devices: ClubDevice[] = [];
  host!: ShardHost;
  /** A device that was closed by the server, or that could not come in, comes again. */
  reconnects = 0;
  /** The first that a device was told in a wrong place. */
  error: unknown;
  readonly #router: FaultyRouter;
  #changesUnderWay = 0;

  constructor(seed: number, faults: Partial<Faults> = {}) {
    this.random = randomFrom(seed);
    this.wire = new FaultyWire(this.random, (run) => void setImmediate(run), faults);
    const ids = new MessageIds(ID_KEY);
    this.#router = new FaultyRouter(this.wire, () => ids);
    this.#router.hasFaultyCasts = true;
  }

  async begin(): Promise<void> {
    this.wire.isCalm = true;
    const limits = { ...DEFAULT_LIMITS, sendsPerSecond: 1_000_000, sendsBurst: 1_000_000 };
    const logger = createLogger("error", fail, () => 0);
    this.host = await ShardHost.open(
      { directory: "/data", files: new SimulatedDisk().files, segments: new MemorySegments(), walFileBytes: 1 << 18 },
      {
        ...{ clock: this.clock, ids: new MessageIds(ID_KEY), limits, logger },
        router: this.#router.around,
        mirrors: (parts) => new FollowedMirrors(parts),
      },
      fail,
    );
    for (const user of PEOPLE) {
      const profile = encodeProfile(user, { createdAt: this.clock.now(), displayName: user });
      await writeUserCells(this.host.home(user), user, [["profile", profile]]);
    }
    const members = PEOPLE.slice(0, 3);
    const detail = { change: "created", by: ANN, at: this.clock.now(), name: "Club", members } as const;
    await createGroup(this.host.shard(shardOf(CLUB)), CLUB, "e-club", { ...detail, members });
    for (const user of PEOPLE) for (const device of DEVICES) this.devices.push(new ClubDevice(this, user, device));
    await this.settle();
    this.wire.isCalm = false;
  }

  async close(): Promise<void> {
    this.host.stop();
    await this.host.store.close();
  }

  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) await this.#turn();
  }

  async #turn(): Promise<void> {
    if (this.error !== undefined) throw this.error as Error;
    this.clock.advance(TURN_MS);
    if (this.clock.monotonicMs() % 100 === 0) this.host.lookForHandoffs();
    await nextTurn();
  }

  /** A guest comes or goes. What becomes of it the group's log says. */
  change(): void {
    if (this.#changesUnderWay > 0) return;
    const guest = GUESTS[Math.floor(this.random() * GUESTS.length)]!;
    const isIn = this.host.groups.get(CLUB)!.members.has(guest);
    const groups = createGroups((user) => this.host.home(user), systemRandom, additionsForTests());
    const actor: Actor = { user: ANN, device: DEVICES[0]! };
    this.#changesUnderWay++;
    const changed = isIn ? groups.removeMember(actor, CLUB, guest) : groups.putMember(actor, CLUB, guest, "member");
    void changed.catch(() => {}).finally(() => this.#changesUnderWay--);
  }

  /** No more faults: everybody is told everything. */
  async settle(): Promise<void> {
    this.wire.isCalm = true;
    for (const device of this.devices) device.mayRest = false;
    for (let turn = 0; !this.#isSettled; turn++) {
      if (turn > SETTLE_TURNS_MAX) throw new Error(`it does not settle: ${this.#open()}`);
      for (const device of this.devices) device.comeOn(turn % 200 === 0);
      await this.#turn();
    }
  }

  get #isSettled(): boolean {
    return (
      this.wire.isIdle &&
      this.#changesUnderWay === 0 &&
      this.#open() === "" &&
      this.devices.every(({ isLive }) => isLive)
    );
  }

  #open(): string {
    const { members, headSeq } = this.host.groups.get(CLUB)!;
    const late = this.devices.filter(
      ({ user, at, owed, isIn }) => owed > 0 || isIn !== members.has(user) || (isIn && at !== headSeq),
    );
    return late.map((one) => `${one.user}/${one.device} at ${one.at} of ${headSeq}, ${one.owed} sends`).join("; ");
  }

  /** What each device was told is what the log says. */
  expectTold(): void {
    const log = this.host.shard(shardOf(CLUB)).log.readForward(CLUB, 0 as Seq, 100_000);
    const said = new Map<number, string>(
      log.map((stored) => {
        const entry = readGroupEntry(stored);
        return [stored.seq, entry.kind === "posted" ? entry.text : "(change)"];
      }),
    );
    for (const { told } of this.devices)
      for (const [seq, text] of told) expect([seq, text]).toEqual([seq, said.get(seq) ?? "nothing"]);
  }
}

function fail(error: unknown): never {
  throw error instanceof Error ? error : new Error(String(error));
}
