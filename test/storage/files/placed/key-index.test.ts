import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { countedKey } from "../../../../storage/encoding/counted-key.ts";
import type { KeyIndex } from "../../../../storage/files/placed/key-index.ts";
import { KEY_PAGE_BYTES_MAX, readKeyPage } from "../../../../storage/files/placed/key-page.ts";
import { highestCounter, keysOfPage } from "../../../../storage/files/placed/key-reader.ts";
import type { KeyPageRow } from "../../../../storage/files/placed/state-file.ts";
import type { Seq } from "../../../../storage/types.ts";
import { type FoundKey, KeyTables } from "./key-tables.ts";
import { seeded } from "../../../support/seed.ts";

let tables: KeyTables;
beforeEach(() => {
  tables = new KeyTables();
});
afterEach(() => tables.remove());

const prefix = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("d-", "alice/d7k2-") },
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
  { weight: 6, arbitrary: fc.nat(9) },
  fc.nat(2000),
  fc.nat(1e9),
  fc.constantFrom(999_999_999_999_999, 2 ** 31, 127, 128),
);
const change = fc.record({
  stream: fc.constantFrom(1, 1, 2, 300),
  prefix,
  counter,
  /** So many keys at once, with rising counters. */
  keys: fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(400) }),
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant("entry" as const) },
    { weight: 2, arbitrary: fc.constant("alone" as const) },
    { weight: 2, arbitrary: fc.constant("remove" as const) },
    { weight: 1, arbitrary: fc.constant("remove another" as const) },
    { weight: 1, arbitrary: fc.constant("reach gone" as const) },
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
  readonly streams = new Map<number, Map<string, FoundKey>>();
  /** When an entry was erased, counted in changes. */
  readonly #gone = new Map<string, number>();
  #seq = 0;
  #time = 0;

  play(index: KeyIndex, { stream, prefix: start, counter: from, keys, kind, value }: Change): void {
    const known = this.streams.getOrInsertComputed(stream, () => new Map<string, FoundKey>());
    for (let n = from; n <= from + keys && n < 1e15; n++) this.#one(index, stream, known, `${start}${n}`, kind, value);
  }

  #one(
    index: KeyIndex,
    stream: number,
    known: Map<string, FoundKey>,
    key: string,
    kind: Change["kind"],
    value: string,
  ): void {
    const now = known.get(key);
    const time = ++this.#time;
    const isGone = (seq: number): boolean => (this.#gone.get(`${stream} ${seq}`) ?? Infinity) < time;
    if (kind === "reach gone") {
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
    expect(new Map([...known.keys()].map((key) => [key, tables.find(key, stream)]))).toEqual(known);
    const inPages = tables.pages(stream).flatMap((row) => keysOfPage(tables.state, row));
    expect(new Set(inPages.map((key) => `${key.prefix}${key.counter}`))).toEqual(new Set(known.keys()));
    expect(inPages.length).toBe(known.size);
    for (const start of new Set(["", "~", "d", "d7k2-", "never-", ...inPages.map((key) => key.prefix)])) {
      const counters = inPages.filter((key) => key.prefix === start).map((key) => key.counter);
      expect(highestCounter(tables.state, stream, start)).toBe(Math.max(-1, ...counters));
    }
  }
  expect(tables.faults(model.streams)).toEqual([]);
}

test("every key is found where a model says, over flushes, splits, removals and restarts; the index stays sound", () => {
  let pagesMost = 0;
  fc.assert(
    fc.property(history, (flushes) => {
      tables.clear();
      const model = new Model();
      for (const { changes, reopen } of flushes) {
        tables.flush((index) => changes.forEach((one) => model.play(index, one)));
        if (reopen) tables.reopen();
        expectSame(model);
        for (const { stream, prefix: start, counter: from, keys } of changes) {
          const key = `${start}${from + keys + 1}`;
          if (countedKey(key) !== undefined && !model.streams.get(stream)?.has(key))
            expect(tables.find(key, stream)).toBeUndefined();
        }
        pagesMost = Math.max(pagesMost, ...[...model.streams.keys()].map((stream) => tables.pages(stream).length));
      }
    }),
    seeded(30),
  );
  expect(pagesMost).toBeGreaterThan(5);
});

const fillOf = (row: KeyPageRow): number => (row.page.length + row.prefix.length) / KEY_PAGE_BYTES_MAX;
const bytesIn = (rows: readonly KeyPageRow[]): number => rows.reduce((sum, row) => sum + row.page.length, 0);

test("counters of one device that rise fill every page but the last, at two bytes a key", () => {
  for (let n = 0; n < 9000; n += 250)
    tables.add(
      Array.from({ length: 250 }, (_, at) => `d7k2-${n + at}`),
      1,
      n + 1,
    );
  const rows = tables.pages();
  expect(Math.min(...rows.slice(0, -1).map(fillOf))).toBeGreaterThan(0.95);
  expect(bytesIn(rows) / 9000).toBeLessThan(2.1);
});

test("rising counters of many devices, few of them lively, fill pages in each other's midst", () => {
  let random = 3;
  const next = (): number => (random = (random * 48_271) % 0x7fffffff) / 0x7fffffff;
  const counters = Array.from({ length: 300 }, () => 0);
  for (let seq = 1; seq < 256 * 80; seq += 256) {
    const keys = Array.from({ length: 256 }, () => {
      const device = Math.floor(300 * next() ** 3);
      return `user${(device * 7919) % 1000}/d7k2-${(counters[device]! += 1)}`;
    });
    tables.add(keys, 1, seq);
  }
  const rows = tables.pages();
  expect(rows.reduce((sum, row) => sum + fillOf(row), 0) / rows.length).toBeGreaterThan(0.6);
  expect(Math.max(...rows.map(fillOf))).toBeLessThanOrEqual(1);
  const liveliest = rows.filter((row) => row.prefix === "user0/d7k2-");
  expect(liveliest.length).toBeGreaterThan(3);
  expect(Math.min(...liveliest.slice(0, -1).map(fillOf))).toBeGreaterThan(0.95);
});

test("keys that fall fill pages too: the lowest page takes what is below it", () => {
  for (let n = 4000; n > 0; n -= 10) tables.add(Array.from({ length: 10 }, (_, at) => `d-${n + at}`));
  const rows = tables.pages();
  expect([rows[0]!.prefix, rows[0]!.first]).toEqual(["", 0]);
  expect(rows.reduce((sum, row) => sum + fillOf(row), 0) / rows.length).toBeGreaterThan(0.4);
});

test("a flush of more keys than fit in hundreds of pages is cut into full ones", () => {
  tables.add(Array.from({ length: 60_000 }, (_, at) => `d-${at}`));
  const rows = tables.pages();
  expect(rows.length).toBeGreaterThan(100);
  expect(Math.min(...rows.slice(0, -1).map(fillOf))).toBeGreaterThan(0.95);
  expect([tables.find("d-0"), tables.find("d-31111"), tables.find("d-59999"), tables.find("d-60000")]).toEqual([
    { seq: 1, value: null },
    { seq: 31_112, value: null },
    { seq: 60_000, value: null },
    undefined,
  ]);
});

test("nothing of an erased key is in the file, not even where it began a page", () => {
  const keys = Array.from({ length: 3000 }, (_, at) => `user${1000 + at}/d7k2-${at}`);
  tables.add(keys);
  const [first] = tables.pages().slice(3) as [KeyPageRow];
  const erased = [keys[0]!, `${first.prefix}${first.first}`, keys.at(-1)!];
  tables.flush((index) => erased.forEach((key) => index.remove(1, key, keys.indexOf(key) + 1)));
  tables.state.exec("VACUUM");
  expect(erased.map((key) => tables.find(key))).toEqual([undefined, undefined, undefined]);
  for (const key of erased) expect(readFileSync(tables.path).includes(countedKey(key)!.prefix)).toBeFalse();
  expect(readFileSync(tables.path).includes(keys[1]!.slice(0, 8))).toBeTrue();
  const left = keys.filter((key) => !erased.includes(key));
  expect(left.filter((key) => tables.find(key)?.seq !== keys.indexOf(key) + 1)).toEqual([]);
});

test("a stream whose keys are all erased has no pages, and can have keys again", () => {
  const keys = Array.from({ length: 2000 }, (_, at) => `d-${at}`);
  tables.add(keys);
  tables.flush((index) => keys.slice(0, 1000).forEach((key, at) => index.remove(1, key, at + 1)));
  tables.add(["d-7"], 1, 5000);
  expect([tables.find("d-7")?.seq, tables.find("d-8"), tables.find("d-1999")?.seq]).toEqual([5000, undefined, 2000]);
  tables.flush((index) => {
    keys.slice(1000).forEach((key, at) => index.remove(1, key, at + 1001));
    index.remove(1, "d-7", 5000);
  });
  expect(tables.pages()).toEqual([]);
  tables.add(["d-3"], 1, 6000);
  expect(tables.find("d-3")?.seq).toBe(6000);
});

test("a page is read and written once in a flush, however many prefixes it has", () => {
  tables.add(Array.from({ length: 60 }, (_, at) => `user${at}/d-1`));
  const sql = tables.state.sql.bind(tables.state);
  const texts: string[] = [];
  tables.state.sql = (text) => {
    if (text.includes("key_page")) texts.push(text.split(" ", 1)[0]!);
    return sql(text);
  };
  tables.add(
    Array.from({ length: 60 }, (_, at) => `user${at}/d-2`),
    1,
    61,
  );
  expect(texts).toEqual(["SELECT", "SELECT", "INSERT"]);
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
    seeded(3000),
  );
});
