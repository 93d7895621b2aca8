import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { CorruptionError } from "../../../storage/errors.ts";
import { createDatabaseFile, emptyDatabase } from "../../../storage/segment/database-file.ts";
import { countedKey } from "../../../storage/segment/key-shape.ts";
import { SqlDatabase } from "../../../storage/sqlite.ts";
import { KeyIndex } from "../../../storage/state/key-index.ts";
import { KEY_PAGE_BYTES_MAX, type PageKey, pagesOf, readKeyPage } from "../../../storage/state/key-page.ts";
import { findKey, keysOfPage } from "../../../storage/state/key-reader.ts";
import { writeKeyList } from "../../../storage/state/key-list.ts";
import { rowCrc } from "../../../storage/state/row-crc.ts";
import { type KeyPageRow, PLACES_SCHEMA, STATE_FORMAT } from "../../../storage/state/state-file.ts";
import { KeyCheck } from "../../../storage/tools/verify-keys.ts";
import type { KeyHit, Seq } from "../../../storage/types.ts";

let dir: string;
let path: string;
let state: SqlDatabase;

const openState = (): SqlDatabase => new SqlDatabase(path, "readwrite");

function create(): void {
  createDatabaseFile(path, emptyDatabase(STATE_FORMAT, "rollback"));
  state = openState();
  state.exec(PLACES_SCHEMA);
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "key-index-"));
  path = join(dir, "state.db");
  create();
});

afterEach(() => {
  state.close();
  rmSync(dir, { recursive: true, force: true });
});

/** One flush: the index, then its pages, in one transaction. */
function flush(change: (index: KeyIndex) => void): void {
  state.within("BEGIN IMMEDIATE", () => {
    const index = new KeyIndex(state);
    change(index);
    index.finish();
  });
}

const never = (): boolean => false;
const entry = (seq: number): KeyHit => ({ seq: seq as Seq, value: null });
const addAll = (keys: readonly string[], streamNo = 1, first = 1): void =>
  flush((index) => keys.forEach((key, at) => index.add(streamNo, key, entry(first + at), never)));

/** Where a counted key points: no entry is asked. */
function found(key: string, streamNo = 1): { seq: number; value: string | null } | undefined {
  const hit = findKey(state, streamNo, key, () => {
    throw new Error(`${key} is no counted key`);
  });
  return hit && { seq: hit.seq, value: hit.value === null ? null : Buffer.from(hit.value).toString() };
}

const pages = (streamNo = 1): KeyPageRow[] =>
  state.sql("SELECT * FROM key_page WHERE stream_no = ? ORDER BY prefix, first").all<KeyPageRow>(streamNo);

type ModelKey = { seq: number; value: string | null };

/** What verify says of the index and of the entries that the streams have. */
function faultsOf(streams: Map<number, Map<string, ModelKey>>): string[] {
  const faults: string[] = [];
  const check = new KeyCheck(state, (place, what) => void faults.push(`${place}: ${what}`));
  try {
    check.readIndex();
    for (const [streamNo, known] of streams)
      for (const [key, { seq, value }] of known) if (value === null) check.entry(streamNo, seq, key, false);
    check.finish();
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    faults.push(error.message);
  }
  return faults;
}

const modelOf = (keys: readonly string[]): Map<string, ModelKey> =>
  new Map(keys.map((key, at) => [key, { seq: at + 1, value: null }]));

const prefix = fc.oneof(
  fc.constantFrom(
    "",
    "d-",
    "d7k2-",
    "d7k2--",
    "~",
    "!",
    "alice/d7k2-",
    "alice/d7k2-9/",
    "bob/d7k2-",
    "z".repeat(79) + "-",
  ),
  fc.nat(60).map((n) => `user${n}/20041115-`),
);
const counter = fc.oneof(
  fc.nat(20),
  fc.nat(2000),
  fc.nat(1e9),
  fc.constantFrom(999_999_999_999_999, 2 ** 31, 127, 128),
);
const change = fc.record({
  stream: fc.constantFrom(1, 2, 300),
  prefix,
  counter,
  /** So many keys at once, with rising counters. */
  keys: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(400) }),
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant("entry" as const) },
    { weight: 2, arbitrary: fc.constant("alone" as const) },
    { weight: 2, arbitrary: fc.constant("remove" as const) },
    { weight: 1, arbitrary: fc.constant("remove another" as const) },
    { weight: 1, arbitrary: fc.constant("mark gone" as const) },
  ),
  value: fc.oneof(fc.constantFrom("", "#ubuntu", "#team"), fc.string({ minLength: 1500, maxLength: 1500 })),
});
const history = fc.array(fc.record({ changes: fc.array(change, { maxLength: 15 }), reopen: fc.boolean() }), {
  minLength: 1,
  maxLength: 8,
});
type Change = typeof change extends fc.Arbitrary<infer C> ? C : never;

/** What the index promises, over a Map. */
class Model {
  readonly streams = new Map<number, Map<string, ModelKey>>();
  /** When an entry was erased, counted in changes. */
  readonly #gone = new Map<string, number>();
  #seq = 0;
  #time = 0;

  play(index: KeyIndex, { stream, prefix: start, counter: from, keys, kind, value }: Change): void {
    const known = this.streams.getOrInsertComputed(stream, () => new Map<string, ModelKey>());
    for (let n = from; n <= from + keys && n < 1e15; n++) this.#one(index, stream, known, `${start}${n}`, kind, value);
  }

  #one(
    index: KeyIndex,
    stream: number,
    known: Map<string, ModelKey>,
    key: string,
    kind: Change["kind"],
    value: string,
  ): void {
    const now = known.get(key);
    const time = ++this.#time;
    const isGone = (seq: number): boolean => (this.#gone.get(`${stream} ${seq}`) ?? Infinity) < time;
    if (kind === "mark gone") {
      if (now?.value === null) this.#gone.set(`${stream} ${now.seq}`, time);
    } else if (kind === "remove" || kind === "remove another") {
      const seq = kind === "remove" ? (now?.seq ?? 1) : 1e9;
      index.remove(stream, key, seq);
      if (now?.value === null && now.seq === seq) known.delete(key);
    } else {
      const seq = (this.#seq += 1 + (this.#seq % 3));
      const bytes = kind === "alone" ? Buffer.from(value) : null;
      index.add(stream, key, { seq: seq as Seq, value: bytes }, isGone);
      if (now === undefined || (now.value === null && isGone(now.seq)))
        known.set(key, { seq, value: kind === "alone" ? value : null });
    }
  }
}

/** Every key of the model by itself, and the pages as a whole. */
function expectSame(model: Model): void {
  for (const [stream, known] of model.streams) {
    expect(new Map([...known.keys()].map((key) => [key, found(key, stream)]))).toEqual(known);
    const inPages = pages(stream).flatMap((row) => keysOfPage(state, row));
    expect(new Set(inPages.map((key) => `${key.prefix}${key.counter}`))).toEqual(new Set(known.keys()));
    expect(inPages.length).toBe(known.size);
  }
  expect(faultsOf(model.streams)).toEqual([]);
}

test("every key is found where a model says, over flushes, splits, removals and restarts; the index stays sound", () => {
  let pagesMost = 0;
  fc.assert(
    fc.property(history, (flushes) => {
      state.close();
      rmSync(path);
      create();
      const model = new Model();
      for (const { changes, reopen } of flushes) {
        flush((index) => changes.forEach((one) => model.play(index, one)));
        if (reopen) {
          state.close();
          state = openState();
        }
        expectSame(model);
        for (const { stream, prefix: start, counter: from, keys } of changes) {
          const key = `${start}${from + keys + 1}`;
          if (countedKey(key) !== undefined && !model.streams.get(stream)?.has(key))
            expect(found(key, stream)).toBeUndefined();
        }
        pagesMost = Math.max(pagesMost, ...[...model.streams.keys()].map((stream) => pages(stream).length));
      }
    }),
    { numRuns: 30, interruptAfterTimeLimit: 10_000 },
  );
  expect(pagesMost).toBeGreaterThan(5);
}, 60_000);

const fillOf = (row: KeyPageRow): number => (row.page.length + row.prefix.length) / KEY_PAGE_BYTES_MAX;
const bytesIn = (rows: readonly KeyPageRow[]): number => rows.reduce((sum, row) => sum + row.page.length, 0);

test("counters of one device that rise fill every page but the last, at two bytes a key", () => {
  for (let n = 0; n < 9000; n += 250)
    addAll(
      Array.from({ length: 250 }, (_, at) => `d7k2-${n + at}`),
      1,
      n + 1,
    );
  const rows = pages();
  expect(Math.min(...rows.slice(0, -1).map(fillOf))).toBeGreaterThan(0.95);
  expect(bytesIn(rows) / 9000).toBeLessThan(2.1);
});

test("rising counters of many devices fill pages in each other's midst", () => {
  const devices = Array.from({ length: 40 }, (_, at) => `user${(at * 7919) % 1000}/d7k2-`);
  let seq = 1;
  for (let n = 0; n < 400; n += 4) {
    addAll(
      devices.flatMap((device) => [0, 1, 2, 3].map((at) => `${device}${n + at}`)),
      1,
      seq,
    );
    seq += 160;
  }
  const rows = pages();
  expect(rows.reduce((sum, row) => sum + fillOf(row), 0) / rows.length).toBeGreaterThan(0.6);
  expect(Math.max(...rows.map(fillOf))).toBeLessThanOrEqual(1);
});

test("a flush of more keys than fit in hundreds of pages is cut into full ones", () => {
  addAll(Array.from({ length: 60_000 }, (_, at) => `d-${at}`));
  const rows = pages();
  expect(rows.length).toBeGreaterThan(100);
  expect(Math.min(...rows.slice(0, -1).map(fillOf))).toBeGreaterThan(0.95);
  expect([found("d-0"), found("d-31111"), found("d-59999"), found("d-60000")]).toEqual([
    { seq: 1, value: null },
    { seq: 31_112, value: null },
    { seq: 60_000, value: null },
    undefined,
  ]);
});

test("nothing of an erased key is in the file, not even where it began a page", () => {
  const keys = Array.from({ length: 3000 }, (_, at) => `user${1000 + at}/d7k2-${at}`);
  addAll(keys);
  const [first] = pages().slice(3) as [KeyPageRow];
  const erased = [keys[0]!, `${first.prefix}${first.first}`, keys.at(-1)!];
  flush((index) => erased.forEach((key) => index.remove(1, key, keys.indexOf(key) + 1)));
  state.exec("VACUUM");
  expect(erased.map((key) => found(key))).toEqual([undefined, undefined, undefined]);
  for (const key of erased) expect(readFileSync(path).includes(countedKey(key)!.prefix)).toBeFalse();
  expect(readFileSync(path).includes(keys[1]!.slice(0, 8))).toBeTrue();
  const left = keys.filter((key) => !erased.includes(key));
  expect(left.filter((key) => found(key)?.seq !== keys.indexOf(key) + 1)).toEqual([]);
});

test("a stream whose keys are all erased has no pages, and can have keys again", () => {
  const keys = Array.from({ length: 2000 }, (_, at) => `d-${at}`);
  addAll(keys);
  flush((index) => keys.slice(0, 1000).forEach((key, at) => index.remove(1, key, at + 1)));
  addAll(["d-7"], 1, 5000);
  expect([found("d-7")?.seq, found("d-8"), found("d-1999")?.seq]).toEqual([5000, undefined, 2000]);
  flush((index) => {
    keys.slice(1000).forEach((key, at) => index.remove(1, key, at + 1001));
    index.remove(1, "d-7", 5000);
  });
  expect(pages()).toEqual([]);
  addAll(["d-3"], 1, 6000);
  expect(found("d-3")?.seq).toBe(6000);
});

test("a page is read and written once in a flush, however many prefixes it has", () => {
  addAll(Array.from({ length: 60 }, (_, at) => `user${at}/d-1`));
  const sql = state.sql.bind(state);
  const texts: string[] = [];
  state.sql = (text) => {
    if (text.includes("key_page")) texts.push(text.split(" ", 1)[0]!);
    return sql(text);
  };
  addAll(
    Array.from({ length: 60 }, (_, at) => `user${at}/d-2`),
    1,
    61,
  );
  expect(texts).toEqual(["SELECT", "SELECT", "INSERT"]);
});

describe("an index that is not sound is told from one that is:", () => {
  const keys = Array.from({ length: 2000 }, (_, at) => `user${1000 + (at % 50)}/d-${at}`);

  function put(row: KeyPageRow): void {
    const values = [row.stream_no, row.prefix, row.first, row.page] as const;
    state.sql("INSERT OR REPLACE INTO key_page VALUES (?, ?, ?, ?, ?)").run(...values, rowCrc("key_page", values));
  }
  const remove = (row: KeyPageRow): number =>
    state.sql("DELETE FROM key_page WHERE prefix = ? AND first = ?").run(row.prefix, row.first);
  const rewrite = (row: KeyPageRow, change: (keys: PageKey[]) => PageKey[]): void =>
    put({ ...row, page: pageOf(change(keysOfPage(state, row))) });
  const pageOf = (ofPage: readonly PageKey[]): Uint8Array => {
    const byPrefix = [...Map.groupBy(ofPage, ({ prefix: text }) => text)];
    return pagesOf(
      byPrefix.map(([text, ofPrefix]) => ({ prefix: text, list: writeKeyList(ofPrefix) })),
      false,
    )[0]!.page;
  };

  const cases: [string, (rows: KeyPageRow[]) => void, RegExp][] = [
    ["a page that is gone", ([, second]) => remove(second!), /cannot be found/],
    ["the lowest page is gone", ([lowest]) => remove(lowest!), /cannot be found/],
    ["a key that is gone", ([, second]) => rewrite(second!, (all) => all.toSpliced(5, 1)), /cannot be found/],
    [
      "a key that no entry has",
      ([, second]) => rewrite(second!, (all) => all.toSpliced(1, 0, { ...all[0]!, counter: all[0]!.counter + 1 })),
      /entries have them/,
    ],
    [
      "a key that points to a later entry",
      ([, second]) => rewrite(second!, (all) => all.with(3, { ...all[3]!, seq: 2500 as Seq })),
      /points to seq 2500/,
    ],
    [
      "a key that points to an earlier entry",
      ([, second]) => rewrite(second!, (all) => all.with(3, { ...all[3]!, seq: 1 as Seq })),
      /entries have them/,
    ],
    [
      "pages in each other's place",
      ([, second, third]) => {
        put({ ...second!, page: third!.page });
        put({ ...third!, page: second!.page });
      },
      /first key is another/,
    ],
    [
      "a page that begins above its first key",
      ([, second]) => {
        remove(second!);
        put({ ...second!, first: second!.first + 1 });
      },
      /first key is another/,
    ],
    ["a page twice", ([lowest, second]) => put({ ...lowest!, page: second!.page }), /do not rise/],
    ["a page without keys", ([, second]) => put({ ...second!, page: Buffer.alloc(0) }), /has no keys/],
    [
      "prefixes that fall",
      ([, second]) => put({ ...second!, page: Buffer.from([0, 0, 1, 122, 2, 2, 2, 0, 0, 1, 97, 2, 2, 2]) }),
      /prefixes do not rise/,
    ],
  ];

  test("no change", () => {
    addAll(keys);
    expect(pages().length).toBeGreaterThan(3);
    expect(faultsOf(new Map([[1, modelOf(keys)]]))).toEqual([]);
  });

  test.each(cases)("%s", (_, change, what) => {
    addAll(keys);
    change(pages());
    expect(faultsOf(new Map([[1, modelOf(keys)]])).join("\n")).toMatch(what);
  });

  test("one flipped bit, wherever it is in a row", () => {
    addAll(keys);
    const [row] = pages().slice(2) as [KeyPageRow];
    const [{ prefix: text, counter: n }] = keysOfPage(state, row) as [PageKey];
    expect(found(`${text}${n}`)).toBeDefined();
    for (let bit = 0; bit < row.page.length * 8; bit += 13) {
      const page = Buffer.from(row.page);
      page[bit >> 3]! ^= 1 << (bit & 7);
      state.sql("UPDATE key_page SET page = ? WHERE prefix = ? AND first = ?").run(page, row.prefix, row.first);
      expect(() => found(`${text}${n}`)).toThrow(CorruptionError);
    }
  });
});

test("bytes that are no page are refused with a RangeError, whatever they are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        readKeyPage(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
    { numRuns: 3000 },
  );
});
