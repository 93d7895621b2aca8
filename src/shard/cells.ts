/**
 * The cells of users and groups: their keys, and numbers in them.
 *
 *     user    epoch           ASCII, set at creation
 *             profile, password, device/…          owned by the account service
 *             received        seq                                        how far a device of the user has the timeline
 *             read/CONV       seq, incoming read                         the user's own read mark
 *             got/GROUP       seq                                        how far a device has a group's log
 *             delivered/CONV  seq, mark                                  the other side's marks, in this user's numbering
 *             seen/CONV       seq, mark
 *             erased          when something of the stream was erased last
 *             kept            retention: seq up to which all that may go has gone, time of the first message after it (keep.ts)
 *             gone/CONV       seq, incoming: the newest of the other side's messages that were erased
 *             erasure         the last request to erase the user's content (erase-user.ts)
 *             conv/CONV       derived: lastSeq, lastAt, incoming, takenThrough, takenSeq, joinedSeq | group epoch
 *             head            derived: seq up to which the derived cells count, mark counter
 *     group   epoch           ASCII, set at creation
 *             delivered/USER  seq          seen/USER  seq                members' marks, small groups only
 *             erased, kept    as of a user
 *             keepDays        days that messages are kept, absent or 0: as the server has it
 *             head            derived: seq, createdAt, lastAt, dissolved | name
 *             member/USER     derived: role (1 admin), joined seq
 *     $shard  handedOffThrough  offset up to which nothing is left to hand over (handoffs.ts)
 *             erasing/USER      a user's content is being erased
 *
 * Derived cells are what folding the entries up to a seq gives. They are written with a flush, and logged with an erasure alone (erasure.ts), so that a
 * stream can be loaded from its cells and the few entries after them.
 */

/** Cells of the shard itself stand in a stream of this name; no address begins with `$`. */
export const SHARD_STREAM = "$shard";
export const isShardStream = (stream: string): boolean => stream === SHARD_STREAM;

const NUMBER_BYTES = 6;

/** Numbers of at most 48 bits, 6 bytes each, then text. */
export function encodeCell(numbers: number[], text = ""): Uint8Array {
  const tail = Buffer.from(text, "utf8");
  const bytes = Buffer.allocUnsafe(numbers.length * NUMBER_BYTES + tail.length);
  for (let i = 0; i < numbers.length; i++) bytes.writeUIntLE(numbers[i]!, i * NUMBER_BYTES, NUMBER_BYTES);
  tail.copy(bytes, numbers.length * NUMBER_BYTES);
  return bytes;
}

const asBuffer = (cell: Uint8Array): Buffer => Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength);

/** The number at `index`, 0 when the cell is absent or shorter: a field added later reads as 0 in older cells. */
export function cellNumber(cell: Uint8Array | undefined, index: number): number {
  if (cell === undefined || cell.length < (index + 1) * NUMBER_BYTES) return 0;
  return asBuffer(cell).readUIntLE(index * NUMBER_BYTES, NUMBER_BYTES);
}

/** The text behind `numbers` numbers. */
export const cellText = (cell: Uint8Array | undefined, numbers = 0): string =>
  cell === undefined ? "" : asBuffer(cell).toString("utf8", numbers * NUMBER_BYTES);
