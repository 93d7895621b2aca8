/**
 * A disk in memory that loses what a real one may lose. What programs see (the system's memory) and what would be there after a power cut are kept apart,
 * names as well as bytes.
 *
 * - A durable write reaches the disk when its callback comes; before, each of its sectors may be there, missing or garbled.
 * - A killed process leaves its write in the system's memory whole, or cut at a sector; what is not on the disk yet a later power cut still takes.
 * - Names made, renamed or removed since the directory was synced are there or not, each by itself.
 * - The Nth call of a kind fails, having done nothing, a part, or all of its work.
 */
import type { FileHandle, FileSystem } from "../../../storage/vfs/file-system.ts";
import type { Random } from "../../support/random.ts";

export const SECTOR_BYTES = 512;
export type CallKind =
  "open" | "write" | "append" | "rename" | "remove" | "truncate" | "syncFile" | "syncDirectory" | "fillZeros" | "read";
export type CrashKind = "kill" | "power";

let inodesMade = 0;

class Inode {
  readonly id = String(++inodesMade);
  changes = 0n;
  /** What programs see. */
  seen = Buffer.alloc(0);
  /** What is on the disk. */
  kept = Buffer.alloc(0);
  /** Written by calls that failed: the system holds it for written, and synchronizing will not write it. */
  lost: { from: number; to: number }[] = [];

  clone(): Inode {
    const inode = new Inode();
    inode.seen = Buffer.from(this.seen);
    inode.kept = Buffer.from(this.kept);
    inode.lost = [...this.lost];
    return inode;
  }
}

type NameChange = { remove?: string; add?: { path: string; inode: Inode } };
type WriteUnderWay = { inode: Inode; bytes: Buffer; position: number };
type Fault = { kind: CallKind; nth: number; code: string; does: "nothing" | "part" | "all" };

function put(content: Buffer, bytes: Buffer, position: number): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(Math.max(content.length, position + bytes.length));
  content.copy(larger);
  bytes.copy(larger, position);
  return larger;
}

export class SimulatedDisk {
  readonly files: FileSystem;
  /** Asked while each call is under way: what a crash in the middle leaves can be taken now. */
  onCall: ((kind: CallKind) => void) | undefined;
  freeBytes = Number.MAX_SAFE_INTEGER;
  calls = 0;
  #names = new Map<string, Inode>();
  #keptNames = new Map<string, Inode>();
  #unsynced: NameChange[] = [];
  #underWay: WriteUnderWay[] = [];
  readonly #open = new Map<FileHandle, Inode>();
  #lastHandle = 0;
  #faults: Fault[] = [];
  readonly #counts = new Map<CallKind, number>();

  constructor() {
    this.files = this.#fileSystem();
  }

  /** @param nth from 1, counted from now */
  fail(kind: CallKind, nth: number, code = "EIO", does: Fault["does"] = "nothing"): void {
    this.#faults.push({ kind, nth: nth + (this.#counts.get(kind) ?? 0), code, does });
  }

  /** Calls of a kind so far. */
  count(kind: CallKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  get handlesOpen(): number {
    return this.#open.size;
  }

  paths(): string[] {
    return [...this.#names.keys()].toSorted();
  }

  bytes(path: string): Buffer {
    return Buffer.from(this.#inode(path).seen);
  }

  /** As if the bits at rest had changed. */
  overwrite(path: string, bytes: Buffer): void {
    const inode = this.#inode(path);
    inode.seen = Buffer.from(bytes);
    inode.kept = Buffer.from(bytes);
  }

  /** The disk as it may be found after a crash at this moment. */
  afterCrash(kind: CrashKind, random: Random): SimulatedDisk {
    const after = new SimulatedDisk();
    const clones = new Map<Inode, Inode>();
    const cloneOf = (inode: Inode): Inode => {
      const clone = clones.get(inode) ?? inode.clone();
      clones.set(inode, clone);
      return clone;
    };
    const changes = this.#unsynced.map(({ remove, add }) => ({
      ...(remove === undefined ? {} : { remove }),
      ...(add && { add: { path: add.path, inode: cloneOf(add.inode) } }),
    }));
    for (const [path, inode] of this.#keptNames) after.#keptNames.set(path, cloneOf(inode));
    for (const [path, inode] of this.#names) after.#names.set(path, cloneOf(inode));
    for (const write of this.#underWay) cut({ ...write, inode: cloneOf(write.inode) }, kind, random);
    if (kind === "kill") after.#unsynced = changes;
    else after.#losePower(changes, clones.values(), random);
    return after;
  }

  #losePower(changes: NameChange[], inodes: Iterable<Inode>, random: Random): void {
    for (const change of changes) if (random() < 0.5) apply(this.#keptNames, change);
    this.#names = new Map(this.#keptNames);
    for (const inode of inodes) {
      if (!inode.seen.equals(inode.kept)) loseSectors(inode, random);
      inode.seen = Buffer.from(inode.kept);
    }
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    return inode;
  }

  #change(change: NameChange): void {
    apply(this.#names, change);
    this.#unsynced.push(change);
  }

  /** Notes a call, and says how it is to fail. */
  #call(kind: CallKind): { error: Error | undefined; does: Fault["does"] } {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    this.calls++;
    const fault = this.#faults.find((one) => one.kind === kind && one.nth === count);
    if (fault === undefined) return { error: undefined, does: "all" };
    return {
      error: Object.assign(new Error(`${fault.code}: injected, ${kind} ${count}`), { code: fault.code }),
      does: fault.does,
    };
  }

  #now(kind: CallKind, work: () => void): void {
    const { error, does } = this.#call(kind);
    this.onCall?.(kind);
    if (does === "all") work();
    if (error) throw error;
  }

  #write(
    file: FileHandle,
    bytes: Buffer,
    position: number,
    ended: (error: Error | null) => void,
    later: (work: () => void) => void,
  ): void {
    const inode = this.#open.get(file);
    if (inode === undefined) throw Object.assign(new Error("EBADF"), { code: "EBADF" });
    const { error, does } = this.#call("write");
    const write: WriteUnderWay = {
      inode,
      position,
      bytes: Buffer.from(does === "part" ? bytes.subarray(0, bytes.length >> 1) : bytes),
    };
    this.#underWay.push(write);
    this.onCall?.("write");
    later(() => {
      this.#underWay.splice(this.#underWay.indexOf(write), 1);
      if (does !== "nothing") {
        inode.seen = put(inode.seen, write.bytes, position);
        inode.changes++;
        const to = position + write.bytes.length;
        if (error !== undefined) inode.lost.push({ from: position, to });
        else {
          inode.kept = put(inode.kept, write.bytes, position);
          inode.lost = inode.lost.filter((range) => range.from < position || range.to > to);
        }
      }
      ended(error ?? null);
    });
  }

  #fileSystem(): FileSystem {
    return {
      makeDirectory: () => {},
      list: (path) => {
        const below = this.paths().filter((name) => name.startsWith(`${path}/`));
        return [...new Set(below.map((name) => name.slice(path.length + 1).split("/")[0]!))];
      },
      read: (path) => {
        this.#now("read", () => {});
        return this.bytes(path);
      },
      openDurable: (path, create) => {
        this.#now("open", () => {
          if (!create) return void this.#inode(path);
          if (this.#names.has(path)) throw Object.assign(new Error(`EEXIST: ${path}`), { code: "EEXIST" });
          this.#change({ add: { path, inode: new Inode() } });
        });
        const handle = ++this.#lastHandle as FileHandle;
        this.#open.set(handle, this.#inode(path));
        return handle;
      },
      write: (file, bytes, from, to, position, done) =>
        this.#write(file, Buffer.from(bytes.subarray(from, to)), position, done, (work) => void setImmediate(work)),
      writeNow: (file, bytes, position) => {
        let failed: Error | null = null;
        this.#write(
          file,
          bytes,
          position,
          (error) => (failed = error),
          (work) => work(),
        );
        if (failed !== null) throw failed as Error;
      },
      close: (file) => void this.#open.delete(file),
      append: (path, bytes) => {
        const { error, does } = this.#call("append");
        this.onCall?.("append");
        if (!this.#names.has(path) && does !== "nothing") this.#change({ add: { path, inode: new Inode() } });
        if (does !== "nothing") {
          const inode = this.#inode(path);
          inode.seen = Buffer.concat([inode.seen, does === "part" ? bytes.subarray(0, bytes.length >> 1) : bytes]);
          inode.changes++;
        }
        if (error) throw error;
      },
      look: (path) => {
        const inode = this.#names.get(path);
        return inode && { id: inode.id, size: inode.seen.length, changedNs: inode.changes };
      },
      rename: (from, to) =>
        this.#now("rename", () => this.#change({ remove: from, add: { path: to, inode: this.#inode(from) } })),
      remove: (path) =>
        this.#now("remove", () => {
          this.#inode(path);
          this.#change({ remove: path });
        }),
      truncate: (path, length) =>
        this.#now("truncate", () => {
          const inode = this.#inode(path);
          inode.seen = inode.seen.subarray(0, length);
          inode.kept = inode.kept.subarray(0, length);
        }),
      syncFile: (path) => this.#now("syncFile", () => sync(this.#inode(path))),
      syncDirectory: () =>
        this.#now("syncDirectory", () => {
          this.#unsynced = [];
          this.#keptNames = new Map(this.#names);
        }),
      freeBytes: () => this.freeBytes,
      fillZeros: (path, length, _stopped, done) => {
        const { error, does } = this.#call("fillZeros");
        const inode = new Inode();
        if (does !== "nothing") {
          this.#change({ add: { path, inode } });
          inode.seen = Buffer.alloc(does === "part" ? length >> 1 : length);
        }
        this.onCall?.("fillZeros");
        setImmediate(() => {
          if (error === undefined) inode.kept = Buffer.from(inode.seen);
          done(error ?? null);
        });
      },
    };
  }
}

function apply(names: Map<string, Inode>, { remove, add }: NameChange): void {
  if (remove !== undefined) names.delete(remove);
  if (add !== undefined) names.set(add.path, add.inode);
}

function sync(inode: Inode): void {
  const kept = Buffer.from(inode.seen);
  for (const { from, to } of inode.lost) {
    kept.fill(0, Math.min(from, kept.length), Math.min(to, kept.length));
    inode.kept.copy(kept, from, from, Math.min(to, inode.kept.length, kept.length));
  }
  inode.kept = kept;
}

/** A write that a crash cut off. */
function cut({ inode, bytes, position }: WriteUnderWay, kind: CrashKind, random: Random): void {
  if (kind === "kill") {
    const sectors = Math.ceil((position + bytes.length) / SECTOR_BYTES) - Math.floor(position / SECTOR_BYTES);
    const arrived = Math.floor(random() * (sectors + 1));
    const end =
      arrived === sectors ? bytes.length : (Math.floor(position / SECTOR_BYTES) + arrived) * SECTOR_BYTES - position;
    if (end > 0) inode.seen = put(inode.seen, bytes.subarray(0, end), position);
    return;
  }
  for (const { from, to } of sectorsOf(position, position + bytes.length)) {
    const piece = Buffer.from(bytes.subarray(from - position, to - position));
    const draw = random();
    if (draw < 0.35) continue;
    if (draw > 0.9) for (let i = 0; i < piece.length; i++) piece[i] = Math.floor(random() * 256);
    inode.seen = put(inode.seen, piece, from);
    inode.kept = put(inode.kept, piece, from);
  }
}

/** Of what is in the system's memory only, each sector is written back or not. */
function loseSectors(inode: Inode, random: Random): void {
  const { seen } = inode;
  for (const { from, to } of sectorsOf(0, seen.length)) {
    if (random() < 0.5) inode.kept = put(inode.kept, seen.subarray(from, to), from);
  }
}

function* sectorsOf(from: number, to: number): Iterable<{ from: number; to: number }> {
  for (let at = from; at < to;) {
    const end = Math.min(to, at - (at % SECTOR_BYTES) + SECTOR_BYTES);
    yield { from: at, to: end };
    at = end;
  }
}
