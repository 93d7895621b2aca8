/**
 * Brings every user and group that anybody knows of back into existence, with the number its stream had where that is
 * known, and begins its positions anew behind all that were given (G8).
 *
 * A name without a profile, or a group without an epoch, could be made anew by a stranger, who would then read what is
 * left in its stream. So the name gets the one or the other. An account whose newest cells may be lost is logged out
 * everywhere: which devices had been logged out in the meantime, nobody knows.
 */
import { randomName, type Random } from "../../base/random.ts";
import { isGroup, nameOf, type Address, type UserId } from "../../domain/address.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { DEVICE_PREFIX, encodeProfile, PASSWORD, PASSWORD_LOST } from "../../home/state/account-cells.ts";
import { cellNumber, cellText, encodeCell } from "../../home/state/cells.ts";
import { writeRecord } from "../../home/durable.ts";
import { inBatches } from "./batches.ts";
import type { Losses } from "./losses.ts";
import type { MendKind, MendNote } from "./notes.ts";
import { isAddress, type Known } from "./survey.ts";

export const EPOCH_CHARACTERS = 8;
/**
 * Left out behind the last position that is known: nobody knows any more what a user wrote to themselves, or to others
 * whose data is lost as well. The epoch is new, too, so devices keep nothing of that; but its ids must not come again.
 */
export const POSITIONS_LEFT_OUT = 100;
/** Of streams whose names are lost; storage gives such names as well. */
export const LOST_PREFIX = "$lost-";
const TOMBSTONES_PER_RECORD = 2000;

type Cell = [key: string, value: Uint8Array | null];

export class StreamMender {
  readonly #log: ShardLog;
  readonly #losses: Losses;
  readonly #random: Random;
  readonly #at: number;
  readonly notes: MendNote[] = [];
  /** Where streams ended before. */
  readonly ends = new Map<Address, number>();

  /** @param at Unix ms, shown to people */
  constructor(log: ShardLog, losses: Losses, random: Random, at: number) {
    this.#log = log;
    this.#losses = losses;
    this.#random = random;
    this.#at = at;
  }

  get #shard(): ShardId {
    return this.#log.shard;
  }

  /** @param known all that is known of addresses of this shard */
  async run(known: ReadonlyMap<Address, Known>): Promise<void> {
    const there = this.#log.streams();
    const missing = [...known].filter(([address]) => !there.has(address));
    // A stream that nobody has a number of goes behind those that somebody has: its number must not be another's.
    const inOrder = missing.toSorted(
      ([a, one], [b, other]) =>
        (one.streamNo || Infinity) - (other.streamNo || Infinity) || (a < b ? -1 : Number(a > b)),
    );
    for (const [address, { streamNo }] of inOrder) {
      await this.#leaveNumbersOut(streamNo);
      this.#losses.noteMissing(address);
      await this.#mend(address);
    }
    await inBatches([...there].filter(isAddress), (address) => this.#mend(address));
    const seqOfNo = new Map([...known.values()].map(({ streamNo, seq }) => [streamNo, seq]));
    const all = [...[...there].filter(isAddress), ...inOrder.map(([address]) => address)];
    await inBatches(all, (address) => {
      const { streamNo } = this.#log.head(address)!;
      return this.#raise(address, Math.max(known.get(address)?.seq ?? 0, seqOfNo.get(streamNo) ?? 0));
    });
  }

  #note(kind: MendKind, stream: string, what: string): void {
    this.notes.push({ shard: this.#shard, stream, kind, what });
  }

  /** Ids of messages have the number of their stream in them, so a number must not be given again. */
  async #leaveNumbersOut(next: number): Promise<void> {
    for (let streamNo = this.#log.streams().size + 1; streamNo < next; streamNo++) {
      const handle = new StreamHandle(`${LOST_PREFIX}${streamNo}`, undefined);
      await writeRecord(this.#log, (log) => log.putNumbers(handle, "lost", this.#at));
    }
  }

  async #mend(address: Address): Promise<void> {
    const cells = this.#log.cells(address);
    const changes = isGroup(address) ? this.#groupCells(address, cells) : this.#userCells(address, cells);
    if (this.#losses.isHurt(address)) changes.push(["erased", encodeCell(this.#at)]);
    if (changes.length === 0) return;
    const handle = new StreamHandle(address, this.#log.head(address));
    await writeRecord(this.#log, (log) => {
      for (const [key, value] of changes) log.putCell(handle, key, value);
    });
  }

  #groupCells(address: Address, cells: Map<string, Uint8Array>): Cell[] {
    if (cells.has("epoch")) return [];
    this.#note("reserved", address, "the group lost its beginning; the timelines of its members say who is in it");
    return [this.#newEpoch()];
  }

  #userCells(address: Address, cells: Map<string, Uint8Array>): Cell[] {
    const changes: Cell[] = [];
    const user = nameOf(address) as UserId;
    const isLost = !cells.has("profile");
    if (isLost) {
      this.#note("reserved", address, "the account lost its profile; its name stays taken");
      changes.push(["profile", encodeProfile(user, { createdAt: this.#at, displayName: user })]);
      if (!cells.has("epoch")) changes.push(this.#newEpoch());
    }
    if (!isLost && !this.#losses.lacksNewest(this.#shard)) return changes;
    const devices = [...cells.keys()].filter((key) => key.startsWith(DEVICE_PREFIX));
    for (const key of devices) changes.push([key, null]);
    if (devices.length > 0)
      this.#note("devices", address, `logged out everywhere (${devices.length} of its devices were known)`);
    if (!cells.has(PASSWORD)) {
      changes.push([PASSWORD_LOST, encodeCell(this.#at)]);
      this.#note("password", address, "has no password: it was lost, or it never had one");
    }
    return changes;
  }

  #newEpoch(): Cell {
    return ["epoch", Buffer.from(randomName(this.#random, EPOCH_CHARACTERS), "latin1")];
  }

  /** Tombstones up to what is known, and some more where nobody knows. */
  async #raise(address: Address, known: number): Promise<void> {
    const { headSeq } = this.#log.head(address)!;
    this.ends.set(address, headSeq);
    const cells = this.#log.cells(address);
    const given = Math.max(headSeq, known, positionIn(cells));
    const isHurt = this.#losses.isHurt(address) && (headSeq === 0 || this.#losses.lacksNewest(this.#shard));
    const through = given + (isHurt || given > headSeq ? POSITIONS_LEFT_OUT : 0);
    if (through === headSeq) return;
    const handle = new StreamHandle(address, this.#log.head(address));
    await writeRecord(this.#log, (log) => {
      const [key, epoch] = this.#newEpoch();
      log.putCell(handle, key, epoch);
      log.putNumbers(handle, "erased", this.#at);
    });
    for (let seq = headSeq + 1; seq <= through; seq += TOMBSTONES_PER_RECORD)
      await this.#tombstones(handle, seq, Math.min(through, seq + TOMBSTONES_PER_RECORD - 1));
    if (given > headSeq)
      this.#note(
        "raised",
        address,
        `entries ${headSeq + 1} to ${given} are lost, as others know; tombstones in their places`,
      );
  }

  /** In the lane of entries of which nobody knows the lane: that of a user's notes, or of a group's changes. */
  #tombstones(handle: StreamHandle, from: number, to: number): Promise<void> {
    const lane = handle.name.startsWith("#") ? "" : handle.name;
    return writeRecord(this.#log, (log) => {
      for (let seq = from; seq <= to; seq++) {
        log.beginEntry(handle, lane, "", seq as Seq, 0);
        log.endEntry();
      }
    });
  }
}

/** The highest position of the stream that its own cells speak of. */
function positionIn(cells: Map<string, Uint8Array>): number {
  let highest = 0;
  for (const [key, cell] of cells) {
    if (/^(?:received|kept|head)$|^(?:conv|gone|delivered|seen|member)\/|^read\/@/.test(key))
      highest = Math.max(highest, cellNumber(cell));
    if (key === "erasure") highest = Math.max(highest, (JSON.parse(cellText(cell)) as { through: number }).through);
  }
  return highest;
}
