/**
 * SQLite's write-ahead file, read without SQLite: `verify` looks at a database as it stands, since opening it writes,
 * and `repair` takes what stands behind a damaged frame, which SQLite does not.
 *
 *     file     u32 magic | u32 3007000 | u32 page bytes | u32 checkpoint | u32 salt | u32 salt | u32 sum | u32 sum
 *     frame    u32 page | u32 pages of the database after a commit, else 0 | u32 salt | u32 salt | u32 sum | u32 sum | page
 *
 * Big-endian, but the sums add words in the order that the magic's lowest bit says: 0 little-endian, 1 big-endian. Each
 * pair of sums goes on from the one before it. What counts ends with the last commit before the first frame whose salts
 * or sums are not right.
 *
 * SQLite takes whatever follows for a torn tail. Here a frame that fails while whole ones of a later transaction follow
 * it is damage: a transaction begins after the one before it was synced. A frame that nothing whole follows is a torn
 * tail, as in the log (docs/decisions/2026-11-29-no-one-bit-judge.md).
 */
const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC = 0x377f0682;

type Sums = { first: number; second: number };
type Order = "little" | "big";

export type SqliteWal = {
  pageBytes: number;
  /** Last content of each page that the file holds committed. */
  pages: Map<number, Buffer>;
  /** Pages of the database after the last commit; undefined when nothing is committed. */
  databasePages: number | undefined;
  /** Bytes that count. What follows is of an earlier use of the file, or was cut short by a crash. */
  wholeBytes: number;
  faults: { at: number; what: string }[];
};

/**
 * @param options `isWhole` false: for salvaging. Frames behind one that fails count as well when they are whole by the
 * sums before them, and so do those of a committed transaction that lacks others; what pages say is checked elsewhere
 */
export function readSqliteWal(bytes: Buffer, { isWhole } = { isWhole: true }): SqliteWal {
  const wal: SqliteWal = { pageBytes: 0, pages: new Map(), databasePages: undefined, wholeBytes: 0, faults: [] };
  if (bytes.length === 0) return wal;
  const order = headerOrder(bytes);
  if (order === undefined) return wal;
  wal.pageBytes = bytes.readUInt32BE(8);
  const frameBytes = FRAME_HEADER_BYTES + wal.pageBytes;
  const open = new Map<number, Buffer>();
  let sums = sumsAt(bytes, 24);
  let at = HEADER_BYTES;
  for (; at + frameBytes <= bytes.length; at += frameBytes) {
    const stored = sumsAt(bytes, at + 16);
    if (!hasSalts(bytes, at) || !isEqual(stored, frameSums(bytes, at, wal.pageBytes, sums, order))) {
      if (isWhole) break;
      sums = stored;
      continue;
    }
    open.set(bytes.readUInt32BE(at), bytes.subarray(at + FRAME_HEADER_BYTES, at + frameBytes));
    sums = stored;
    const databasePages = bytes.readUInt32BE(at + 4);
    if (databasePages === 0) continue;
    for (const [page, content] of open) wal.pages.set(page, content);
    open.clear();
    wal.databasePages = databasePages;
    wal.wholeBytes = at + frameBytes;
  }
  if (isWhole && at + frameBytes <= bytes.length && isFollowed(bytes, at, order, wal.pageBytes))
    wal.faults.push({ at, what: "a frame fails its checksum and a later transaction follows" });
  return wal;
}

/** The bytes of a database with its write-ahead file folded in, such that it can be opened from memory. */
export function foldedImage(database: Buffer, wal: SqliteWal | undefined): Buffer {
  let image = Buffer.from(database);
  if (wal?.databasePages !== undefined) {
    const length = wal.databasePages * wal.pageBytes;
    if (image.length < length) image = Buffer.concat([image, Buffer.alloc(length - image.length)]);
    for (const [page, content] of wal.pages)
      if (page <= wal.databasePages) content.copy(image, (page - 1) * wal.pageBytes);
    image = image.subarray(0, length);
  }
  // In memory there is no WAL mode.
  if (image.length >= 100 && image[18] === 2 && image[19] === 2) image.fill(1, 18, 20);
  return image;
}

/** Undefined when the header is not whole: nothing in the file counts. */
function headerOrder(header: Buffer): Order | undefined {
  if (header.length < HEADER_BYTES) return undefined;
  const magic = header.readUInt32BE(0);
  if (magic >>> 1 !== MAGIC >>> 1) return undefined;
  const order: Order = (magic & 1) === 1 ? "big" : "little";
  const pageBytes = header.readUInt32BE(8);
  const isPageSize = pageBytes >= 512 && pageBytes <= 65_536 && (pageBytes & (pageBytes - 1)) === 0;
  return isPageSize && isEqual(sumsAt(header, 24), add(header, 0, 24, { first: 0, second: 0 }, order))
    ? order
    : undefined;
}

/** Whether a frame follows that was written after a commit behind `at`. */
function isFollowed(bytes: Buffer, at: number, order: Order, pageBytes: number): boolean {
  const frameBytes = FRAME_HEADER_BYTES + pageBytes;
  let isCommitted = bytes.readUInt32BE(at + 4) !== 0;
  for (let next = at + frameBytes; next + frameBytes <= bytes.length; next += frameBytes) {
    const before = sumsAt(bytes, next - frameBytes + 16);
    if (!hasSalts(bytes, next) || !isEqual(sumsAt(bytes, next + 16), frameSums(bytes, next, pageBytes, before, order)))
      return false;
    if (isCommitted) return true;
    isCommitted = bytes.readUInt32BE(next + 4) !== 0;
  }
  return false;
}

/** Whether the frame is of the same use of the file as its header: SQLite writes over earlier ones from the start. */
const hasSalts = (bytes: Buffer, at: number): boolean =>
  bytes.readUInt32BE(at + 8) === bytes.readUInt32BE(16) && bytes.readUInt32BE(at + 12) === bytes.readUInt32BE(20);

const sumsAt = (bytes: Buffer, at: number): Sums => ({
  first: bytes.readUInt32BE(at),
  second: bytes.readUInt32BE(at + 4),
});
const isEqual = (a: Sums, b: Sums): boolean => a.first === b.first && a.second === b.second;

/** Over page number, size after the commit, and the page. */
const frameSums = (bytes: Buffer, at: number, pageBytes: number, before: Sums, order: Order): Sums =>
  add(
    bytes,
    at + FRAME_HEADER_BYTES,
    at + FRAME_HEADER_BYTES + pageBytes,
    add(bytes, at, at + 8, before, order),
    order,
  );

function add(bytes: Buffer, from: number, to: number, sums: Sums, order: Order): Sums {
  let { first, second } = sums;
  for (let at = from; at < to; at += 8) {
    const even = order === "little" ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
    const odd = order === "little" ? bytes.readUInt32LE(at + 4) : bytes.readUInt32BE(at + 4);
    first = (first + even + second) >>> 0;
    second = (second + odd + first) >>> 0;
  }
  return { first, second };
}
