/**
 * Who has opened the log for writing, in the order of time: the file `wal/openings`. It keeps nobody out, the lock on
 * the directory does that. Where the lock did not (a file system that locks within one machine, a build that knows
 * other locks), an opening learns of a later one before it begins another file, and `parley verify` sees that two were
 * at work.
 *
 *     parley openings 1
 *     begin 8 5ab0c2f1e0d3a7b2 4711 1f2e3d4c            opening number 8, its random id, its process, CRC-32 of the line up to here
 *     file 8 5ab0c2f1e0d3a7b2 17 0badcafe               it begins log file 17
 *     end 8 5ab0c2f1e0d3a7b2 5ca1ab1e                   it is closed and writes no more
 *     beside 8 5ab0c2f1e0d3a7b2 9 0ddba115              it was at work when opening 9 began
 *     changed 8 5ab0c2f1e0d3a7b2 16 600dcafe            another process has changed log file 16, which it had read or was writing
 *
 * Invariant: the lines of an opening stand before `begin` of the next one, unless two were at work.
 *
 * Lines are added at the end in one write and are not synced: the list keeps processes apart, and no power cuts. A
 * crash leaves a part of a line, or zeros; such lines are passed over. The header has no checksum in version 1; a
 * header of a later version has one, as the lines have. So a version that was hit is not taken for a later one: the
 * list is evidence only, and keeps no server from its data. Before the file gets too large its older half goes, by a
 * rename. A log without the file is of an older version.
 */
import { join } from "node:path";
import { FormatError, OtherWriterError } from "../../errors.ts";
import type { FileSystem } from "../../vfs/file-system.ts";

export const OPENINGS_NAME = "openings";
export const FRESH_OPENINGS_NAME = "openings.new";

const HEADER = /^(parley openings (\d+))(?: ([0-9a-f]{8}))?$/;
const VERSION = 1;
const HEADER_LINE = `parley openings ${VERSION}\n`;
const LINE = /^(begin|file|end|beside|changed) (\d+) ([0-9a-f]{16})(?: (\d+))? ([0-9a-f]{8})$/;
const BYTES_MAX = 64 << 10;

export type OpeningKind = "begin" | "file" | "end" | "beside" | "changed";
/** `about`: process of `begin`, log file of `file` and `changed`, the other opening of `beside`. */
export type OpeningLine = { kind: OpeningKind; no: number; id: string; about: number };

export type OpeningOptions = {
  /** `wal` of the data directory. */
  directory: string;
  files: FileSystem;
  processId: number;
  /** 16 hexadecimal digits, of the program that opens it, also when it opens it again. */
  id: string;
};

export class Openings {
  readonly #options: OpeningOptions;
  readonly #path: string;
  #no = 0;
  /** Up to here the list is known. Another process that adds a line makes the file longer. */
  #size = 0;
  #hasBegun = false;
  /** What another process did after this opening had begun. */
  #other: OpeningLine | undefined;

  constructor(options: OpeningOptions) {
    this.#options = options;
    this.#path = join(options.directory, OPENINGS_NAME);
  }

  get no(): number {
    return this.#no;
  }

  /**
   * From now on this is the opening that writes. Another one of the same `id` goes on where the one before failed.
   * @throws OtherWriterError when another opening has begun since the first of this `id`, or begins now; FormatError;
   * what the system says
   */
  begin(): void {
    const lines = this.#read();
    this.#refuseOthers(lines);
    this.#no = lines.reduce((most, { no }) => Math.max(most, no), 0) + 1;
    this.#add("begin", this.#options.processId);
    this.#hasBegun = true;
    // Two can have read the same number.
    this.#refuseOthers(this.#read());
  }

  /** A log file was begun. */
  file(fileNo: number): void {
    this.#tryAdd("file", fileNo);
  }

  /** Somebody else has changed a log file. */
  changed(fileNo: number): void {
    this.#tryAdd("changed", fileNo);
  }

  /** Nothing is written any more. */
  end(): void {
    this.#tryAdd("end");
  }

  /** @throws OtherWriterError when another one has begun since, or one before it goes on */
  check(): void {
    if (!this.#hasBegun) return;
    if (this.#other !== undefined) throw otherWriter(this.#options.directory, this.#other);
    if (this.#options.files.look(this.#path)?.size === this.#size) return;
    const lines = this.#read();
    // Somebody has removed the file, or put an older one in its place.
    if (this.#ownAt(lines) < 0) this.#tryAdd("begin", this.#options.processId);
    this.#refuseOthers(lines);
  }

  #ownAt(lines: OpeningLine[]): number {
    return lines.findIndex(({ kind, id }) => kind === "begin" && id === this.#options.id);
  }

  /** Those that have only said that they are gone count no more. */
  #refuseOthers(lines: OpeningLine[]): void {
    const own = this.#ownAt(lines);
    if (own < 0) return;
    const others = lines.slice(own + 1).filter(({ id }) => id !== this.#options.id);
    this.#other = others.find(({ kind }) => kind === "begin") ?? others.find(({ kind }) => kind === "file");
    if (this.#other === undefined) return;
    this.#tryAdd("beside", this.#other.no);
    throw otherWriter(this.#options.directory, this.#other);
  }

  #read(): OpeningLine[] {
    const { files } = this.#options;
    const size = files.look(this.#path)?.size;
    if (size === undefined) {
      this.#size = 0;
      return [];
    }
    const bytes = files.read(this.#path);
    this.#size = bytes.length;
    return readOpenings(this.#path, bytes).lines;
  }

  /** What cannot be written (a full disk, no descriptors) is missing as evidence, and nothing else. */
  #tryAdd(kind: OpeningKind, about?: number): void {
    if (!this.#hasBegun) return;
    try {
      this.#add(kind, about);
    } catch {
      return;
    }
  }

  /**
   * What others add at the same time is found by the next look, since the file is longer then than it is known to be.
   */
  #add(kind: OpeningKind, about?: number): void {
    const { files, id } = this.#options;
    if (this.#size > BYTES_MAX && kind === "begin") this.#shorten();
    const text = lineOf(kind, this.#no, id, about);
    // Behind a part of a line, or zeros, another line begins all the same.
    const bytes = Buffer.from(this.#size === 0 ? `${HEADER_LINE}${text}` : kind === "begin" ? `\n${text}` : text);
    files.append(this.#path, bytes);
    this.#size += bytes.length;
  }

  /** Keeps the newer half. */
  #shorten(): void {
    const { files, directory } = this.#options;
    const { lines } = readOpenings(this.#path, files.read(this.#path));
    const kept = lines.slice(lines.length >> 1);
    const fresh = join(directory, FRESH_OPENINGS_NAME);
    if (files.look(fresh) !== undefined) files.remove(fresh);
    const text = `${HEADER_LINE}${kept.map(({ kind, no, id, about }) => lineOf(kind, no, id, about)).join("")}`;
    files.append(fresh, Buffer.from(text));
    files.rename(fresh, this.#path);
    this.#size = text.length;
  }
}

/**
 * @returns the lines that are whole, how many a crash has cut short, and how many are not what was written
 * @throws FormatError for a newer version
 */
export function readOpenings(
  file: string,
  bytes: Buffer,
): { lines: OpeningLine[]; unreadable: number; changed: number } {
  const [header = "", ...rest] = bytes.toString("latin1").split("\n");
  const version = versionOf(header);
  if (version > VERSION) throw new FormatError(file, version, VERSION);
  const texts = rest.filter((text) => text !== "");
  const lines = texts.map(readLine).filter((line) => line !== undefined);
  const changed = texts.filter((text) => readLine(text) === undefined && !isCut(text)).length;
  const isHeaderChanged = version !== VERSION && header.length === HEADER_LINE.length - 1;
  const unreadable = texts.length - lines.length - changed + (version === VERSION || isHeaderChanged ? 0 : 1);
  return { lines, unreadable, changed: changed + (isHeaderChanged ? 1 : 0) };
}

/** 0 for a header that is not what was written. */
function versionOf(header: string): number {
  const [, text, version, crc] = HEADER.exec(header) ?? [];
  if (text === undefined || (Number(version) > VERSION && crc !== crcOf(text))) return 0;
  return Number(version);
}

/**
 * A crash leaves the beginning of a line, zeros or garbage. None of these has all the fields, a line inside of it, or
 * characters near to those of a line.
 */
const isCut = (text: string): boolean =>
  !/^\S+ \S+ \S{16}( \S+)? \S{8}$/.test(text) &&
  !/.(begin|file|end|beside|changed) \d/.test(text) &&
  /^[a-z0-9 \0\x80-\xff]*$/.test(text);

function readLine(text: string): OpeningLine | undefined {
  const [, kind, no, id, about, crc] = LINE.exec(text) ?? [];
  if (kind === undefined || no === undefined || id === undefined) return undefined;
  if (crc !== crcOf(text.slice(0, text.lastIndexOf(" ")))) return undefined;
  return { kind: kind as OpeningKind, no: Number(no), id, about: Number(about ?? 0) };
}

function lineOf(kind: OpeningKind, no: number, id: string, about: number | undefined): string {
  const text = `${kind} ${no} ${id}${about === undefined || kind === "end" ? "" : ` ${about}`}`;
  return `${text} ${crcOf(text)}\n`;
}

const crcOf = (text: string): string => Bun.hash.crc32(Buffer.from(text)).toString(16).padStart(8, "0");

function otherWriter(directory: string, { kind, no, about }: OpeningLine): OtherWriterError {
  const who = kind === "begin" ? `another server (process ${about})` : `an earlier server (opening ${no})`;
  return new OtherWriterError(`${who} writes to ${directory}`);
}
