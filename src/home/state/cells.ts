/**
 * The cells of users and groups: their keys and fields.
 *
 *     user    profile         createdAt | display name, empty when it is the user id; set at creation, so it
 *                             tells that the user exists
 *             epoch           the text, if history was rebuilt; else it follows from the profile (account-cells.ts)
 *             password, device/…, clients          owned by the account service
 *             passwordLost    when a repair found the account without a password (mend/streams.ts)
 *             received        seq                  how far a device of the user has the timeline
 *             read/CONV       seq | incoming read  the user's own read mark
 *             delivered/CONV  seq | mark           the peer's delivery mark, in this user's numbering
 *             seen/CONV       seq | mark           the peer's read mark, in this user's numbering
 *             asked/#GROUP    group seq of the membership that the user made their own by posting
 *             erased          when something of the stream was erased last
 *             kept            retention: seq through which it has erased | time of the first message after it
 *                             (retention.ts)
 *             gone/CONV       seq | incoming: the newest of the peer's messages that were erased
 *             erasure         JSON: the last request to erase the user's content (erase-user.ts)
 *             erasedEntries   how many messages that request has erased so far
 *             erasedFor/USER  number of a request of USER | messages that it erased in this stream |
 *                             seq of USER's timeline through which late messages are refused (fold/erased-for.ts)
 *             conv/@USER      derived: lastSeq | rank, ms | takenThrough | incoming | lastSeq - takenSeq, or 0 |
 *                             rank, count | lastSeq - seq of the last message sent + 2; 1: none was sent; 0: not noted
 *             conv/#GROUP     derived, member: lastSeq | joinedSeq | 0 | 1 if another user added this one
 *                             derived, former member: lastSeq | 0 | takenThrough
 *             head            derived: seq through which the derived cells count | mark counter |
 *                             bytes of text sent + 1; 0: not counted
 *     group   epoch           the text, set at creation, and anew when the id is used again
 *             born            seq of the `created` that began its present life; absent in its first life
 *             delivered/USER  seq: a member's delivery mark, small groups only
 *             seen/USER       seq: a member's read mark, small groups only
 *             erased, kept, erasedFor/USER    as of a user
 *             keepDays        days that messages are kept; absent or 0: the server's value
 *             head            derived: seq | createdAt | rank, ms | name | dissolved | rank, count | 1: `wrote` counts
 *             member/USER     derived: joined seq | role (1 admin)
 *             wrote/USER      derived, once it was asked for: bytes of text posted | seq of the newest post counted
 *     $shard  handedOffThrough  offset through which nothing is left to hand over (handoffs.ts)
 *             erasing/USER      a user's content is being erased
 *             untold/USER/CONV  delivered | read | epoch of the group: marks that the peer's shard has not confirmed
 *                               (untold-marks.ts)
 *             ranks             of one shard: no entry of any shard has a higher rank (ranks.ts)
 *
 *     cell    field…          trailing fields that are 0 or empty are left out
 *     field   varint | varint length, UTF-8 or bytes
 *
 * A field that was added later, behind the others, is absent in older cells and so reads as 0 or as empty.
 *
 * Derived cells hold the result of folding the entries through a seq. So a stream can be loaded from its cells and the
 * few entries after them. They are written with a flush, if at least `CELLS_LAG_MAX` entries came since the last write;
 * a stream of fewer entries has none. They are logged only with an erasure (erasure.ts), since a tombstone has nothing
 * to fold.
 */
import { ByteWriter } from "../../../storage/encoding/byte-writer.ts";

/** The stream with the shard's own cells; no address begins with `$`. */
export const SHARD_STREAM = "$shard";
/**
 * Whether the stream is no user and no group: it has the shard's own cells, or is `$lost-N`, where a repair keeps a
 * stream whose name is lost.
 */
export const isShardStream = (stream: string): boolean => stream.startsWith("$");

/**
 * A load folds fewer entries than this, about a page of history. After a crash it may fold as many again, which were
 * flushed before the stream was loaded.
 */
export const CELLS_LAG_MAX = 32;

const VARINT_BYTES_MAX = 8;

export type CellField = number | string | Uint8Array;

const isAbsent = (field: CellField): boolean => (typeof field === "number" ? field === 0 : field.length === 0);

/** Numbers are whole, from 0, at most 53 bits. @throws RangeError for others */
export function encodeCell(...fields: CellField[]): Uint8Array {
  const kept = fields.slice(0, fields.findLastIndex((field) => !isAbsent(field)) + 1);
  const out = new ByteWriter(Buffer.allocUnsafe(kept.length * VARINT_BYTES_MAX));
  for (const field of kept) {
    if (typeof field === "number") writeNumber(out, field);
    else writeBytes(out, typeof field === "string" ? Buffer.from(field, "utf8") : field);
  }
  return out.bytes.subarray(0, out.pos);
}

function writeNumber(out: ByteWriter, value: number): void {
  out.reserve(VARINT_BYTES_MAX);
  out.varint(value);
}

function writeBytes(out: ByteWriter, bytes: Uint8Array): void {
  out.reserve(VARINT_BYTES_MAX + bytes.length);
  out.varint(bytes.length);
  out.raw(bytes);
}

/** Reads fields in their order. Absent fields, and all fields of an absent cell, are 0 or empty. */
export class CellReader {
  readonly #cell: Uint8Array;
  #pos = 0;

  constructor(cell: Uint8Array | undefined) {
    this.#cell = cell ?? new Uint8Array(0);
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#cell[this.#pos];
      if (byte === undefined) return value;
      this.#pos++;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  bytes(): Buffer {
    const length = this.number();
    const { buffer, byteOffset } = this.#cell;
    const from = this.#pos;
    this.#pos = Math.min(this.#cell.length, from + length);
    return Buffer.from(buffer, byteOffset + from, this.#pos - from);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }
}

/** The first number of a cell; 0 if the cell is absent. */
export const cellNumber = (cell: Uint8Array | undefined): number => new CellReader(cell).number();

/** The text that a cell is. */
export const cellText = (cell: Uint8Array | undefined): string =>
  cell === undefined ? "" : Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength).toString("utf8");
