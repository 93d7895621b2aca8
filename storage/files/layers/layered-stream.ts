/** Streams of a shard as its layers have them, newest on top. Pure reading; blocks and tails are elsewhere. */
import type { Offset } from "../../types.ts";
import { addCells, type Cells, cellOf, cellsOf, type Fragment, reachOf, type StreamReach } from "./fragment.ts";
import { laidOver } from "../../encoding/laid-over.ts";
import type { LayerSource } from "./page-table.ts";
import { type ItemSize, itemsOf, type LoggedItem, type Piece } from "./piece.ts";

/** One stream: its fragments, the oldest first. There is at least one. */
export class LayeredStream {
  readonly #fragments: readonly Fragment[];
  readonly reach: StreamReach;
  /** What is not placed, in log order. */
  readonly pieces: readonly Piece[];

  constructor(fragments: readonly Fragment[]) {
    this.#fragments = fragments;
    this.reach = fragments.length === 1 ? fragments[0]! : reachOf(fragments);
    const { placedThrough } = this.reach;
    this.pieces = fragments.flatMap(({ pieces }) => pieces.filter(({ lastOffset }) => lastOffset > placedThrough));
  }

  /** Whether anything of it was ever placed. */
  get isPlaced(): boolean {
    return this.reach.placedThrough > 0;
  }

  /**
   * Whether layers still have bytes of items that were placed since: nobody reads them, and the next merging leaves
   * them out.
   */
  get hasRemains(): boolean {
    return this.#fragments.some(({ pieces }) =>
      pieces.some(({ lastOffset }) => lastOffset <= this.reach.placedThrough),
    );
  }

  get size(): ItemSize {
    const size = { items: 0, bytes: 0 };
    for (const piece of this.pieces) {
      size.items += piece.size.items;
      size.bytes += piece.size.bytes;
    }
    return size;
  }

  /** Items that are not placed. @throws RangeError where the bytes are no items. */
  items(): LoggedItem[] {
    return this.pieces.flatMap(itemsOf);
  }

  /** Undefined when there is none. */
  cell(name: string): Uint8Array | undefined {
    for (let at = this.#fragments.length - 1; at >= 0; at--) {
      const value = cellOf(this.#fragments[at]!, name);
      if (value !== undefined) return value ?? undefined;
    }
    return undefined;
  }

  /**
   * Each cell that is set, once. Read from the bytes of the fragments, so that later changes of the files do not
   * matter.
   */
  eachCell(): Iterable<[name: string, value: Uint8Array]> {
    return laidOver(this.#fragments.map(cellsOf).reverse());
  }

  /** By name; null for those that were cleared and may stand in layers below. */
  cells(): Cells {
    const cells: Cells = new Map();
    for (const fragment of this.#fragments) addCells(fragment, cells);
    return cells;
  }
}

/** All layers of a shard, wherever they lie, from the oldest to the newest. */
export class Streams {
  readonly #sources: readonly LayerSource[];
  #last: { name: string; layered: LayeredStream | undefined } | undefined;

  /** @param sources the one with the older layers first */
  constructor(sources: readonly LayerSource[]) {
    this.#sources = sources;
  }

  /** Several questions about one stream follow each other: its pages are gone through for the first. */
  find(name: string): LayeredStream | undefined {
    if (this.#last?.name !== name) this.#last = { name, layered: this.#finder()(name) };
    return this.#last.layered;
  }

  /** Those of the streams that are there, by name: cheaper than one by one, since each page is read once. */
  findAll(names: readonly string[]): Map<string, LayeredStream> {
    const find = this.#finder();
    const found = new Map<string, LayeredStream>();
    for (const name of names.toSorted()) {
      const layered = find(name);
      if (layered !== undefined) found.set(name, layered);
    }
    return found;
  }

  /** Finds streams by rising name. */
  #finder(): (name: string) => LayeredStream | undefined {
    const finders = this.#sources.flatMap((source) => source.stack.layers.map((layer) => source.finder(layer)));
    return (name) => {
      const fragments = finders.map((find) => find(name)).filter((fragment) => fragment !== undefined);
      return fragments.length === 0 ? undefined : new LayeredStream(fragments);
    };
  }

  /** All streams, by rising name. */
  *each(): Iterable<LayeredStream> {
    for (const fragments of byName(this.#layers())) yield new LayeredStream(fragments);
  }

  /** Streams whose newest entry has an offset above this. Pages without such are not read. */
  *beyond(offset: Offset): Iterable<LayeredStream> {
    for (const fragments of byName(this.#layers(offset))) {
      if (fragments.some(({ headOffset }) => headOffset > offset)) yield this.find(fragments[0]!.name)!;
    }
  }

  #layers(after?: Offset): Iterable<Fragment>[] {
    return this.#sources.flatMap((source) => source.stack.layers.map((layer) => source.fragments(layer, after)));
  }
}

/** Fragments of the same stream together, in the order of their layers; streams by rising name. */
export function* byName(layers: readonly Iterable<Fragment>[]): Iterable<Fragment[]> {
  const heads = layers.map((layer) => {
    const iterator = layer[Symbol.iterator]();
    return { iterator, next: iterator.next() };
  });
  for (;;) {
    let lowest: string | undefined;
    for (const { next } of heads) {
      if (next.done !== true && (lowest === undefined || next.value.name < lowest)) lowest = next.value.name;
    }
    if (lowest === undefined) return;
    const fragments: Fragment[] = [];
    for (const head of heads) {
      if (head.next.done === true || head.next.value.name !== lowest) continue;
      fragments.push(head.next.value);
      head.next = head.iterator.next();
    }
    yield fragments;
  }
}
