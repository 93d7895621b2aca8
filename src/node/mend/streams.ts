/**
 * Recreates every user and group that any shard knows of, with its former stream number where that is known, and raises
 * its positions above all that were given (G8).
 *
 * A stranger could register a name without a profile, or create a group without an epoch, and then read what is left in
 * its stream. So a user gets a profile, and a group gets an epoch. An account whose newest cells may be lost is logged
 * out everywhere: it is unknown which devices had been logged out.
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
 * Positions that are skipped after the last known one. It is unknown how many notes to self, or messages to users whose
 * data is lost as well, came after it. The epoch is new, so devices drop what they have; but message ids must not
 * repeat.
 */
export const POSITIONS_LEFT_OUT = 100;
/** Prefix of streams whose names are lost. Storage uses it, too. */
export const LOST_PREFIX = "$lost-";
const TOMBSTONES_PER_RECORD = 2000;

type Cell = [key: string, value: Uint8Array | null];

export class StreamMender {
  readonly #log: ShardLog;
  readonly #losses: Losses;
  readonly #random: Random;
  readonly #at: number;
  readonly notes: MendNote[] = [];
  /** Last positions of the streams before they were raised. */
  readonly ends = new Map<Address, number>();

  /** @param at Unix ms; clients show it */
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
    // Streams without a known number come last: they must not get the number of another.
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

  /** Message ids contain the number of their stream, so a number must not be given twice. */
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

  /** Writes tombstones up to the last known position, and `POSITIONS_LEFT_OUT` more if it is not certain. */
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
        `entries ${headSeq + 1} to ${given} are lost, according to other shards; tombstones replace them`,
      );
  }

  /** Puts them into the lane of entries whose lane is unknown: a user's notes, or a group's changes. */
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

/** The highest position that the stream's own cells name. */
function positionIn(cells: Map<string, Uint8Array>): number {
  let highest = 0;
  for (const [key, cell] of cells) {
    if (/^(?:received|kept|head)$|^(?:conv|gone|delivered|seen|member)\/|^read\/@/.test(key))
      highest = Math.max(highest, cellNumber(cell));
    if (key === "erasure") highest = Math.max(highest, (JSON.parse(cellText(cell)) as { through: number }).through);
  }
  return highest;
}
