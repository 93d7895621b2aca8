import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { CorruptionError } from "../../../storage/errors.ts";
import { writeKeyList } from "../../../storage/files/placed/key-list.ts";
import { type PageKey, pagesOf } from "../../../storage/files/placed/key-page.ts";
import { keysOfPage } from "../../../storage/files/placed/key-reader.ts";
import { rowCrc } from "../../../storage/files/sqlite/row-crc.ts";
import type { KeyPageRow } from "../../../storage/files/placed/state-file.ts";
import type { Seq } from "../../../storage/types.ts";
import { type FoundKey, KeyTables } from "../files/placed/key-tables.ts";

let tables: KeyTables;
beforeEach(() => {
  tables = new KeyTables();
});
afterEach(() => tables.remove());

describe("an index that is not sound is told from one that is:", () => {
  const keys = Array.from({ length: 2000 }, (_, at) => `user${1000 + (at % 50)}/d-${at}`);

  const modelOf = (all: readonly string[]): Map<string, FoundKey> =>
    new Map(all.map((key, at) => [key, { seq: at + 1, value: null }]));

  function put(row: KeyPageRow): void {
    const values = [row.stream_no, row.prefix, row.first, row.page] as const;
    tables.state
      .sql("INSERT OR REPLACE INTO key_page VALUES (?, ?, ?, ?, ?)")
      .run(...values, rowCrc("key_page", values));
  }
  const remove = (row: KeyPageRow): number =>
    tables.state.sql("DELETE FROM key_page WHERE prefix = ? AND first = ?").run(row.prefix, row.first);
  const rewrite = (row: KeyPageRow, change: (keys: PageKey[]) => PageKey[]): void =>
    put({ ...row, page: pageOf(change(keysOfPage(tables.state, row))) });
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
    tables.add(keys);
    expect(tables.pages().length).toBeGreaterThan(3);
    expect(tables.faults(new Map([[1, modelOf(keys)]]))).toEqual([]);
  });

  test.each(cases)("%s", (_, change, what) => {
    tables.add(keys);
    change(tables.pages());
    expect(tables.faults(new Map([[1, modelOf(keys)]])).join("\n")).toMatch(what);
  });

  test("one flipped bit, wherever it is in a row", () => {
    tables.add(keys);
    const [row] = tables.pages().slice(2) as [KeyPageRow];
    const [{ prefix: text, counter: n }] = keysOfPage(tables.state, row) as [PageKey];
    expect(tables.find(`${text}${n}`)).toBeDefined();
    for (let bit = 0; bit < row.page.length * 8; bit += 13) {
      const page = Buffer.from(row.page);
      page[bit >> 3]! ^= 1 << (bit & 7);
      tables.state.sql("UPDATE key_page SET page = ? WHERE prefix = ? AND first = ?").run(page, row.prefix, row.first);
      expect(() => tables.find(`${text}${n}`)).toThrow(CorruptionError);
    }
  });
});
