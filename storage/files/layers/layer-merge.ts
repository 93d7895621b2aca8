/**
 * Putting a layer on top of others. Layers below that are not much larger are merged into it, so that there are few and
 * each byte is written again a few times only: sizes fall by a factor of three or more from the oldest to the newest.
 */
import type { Packing } from "../../encoding/packing.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";
import { type Cells, type Fragment, readFragment, type StreamReach, writeFragment } from "./fragment.ts";
import { deleteLayer, fragmentsIn, type Layer, type LayerSource, type LayerStack, LayerWriter } from "./page-table.ts";
import { itemsOf, joined, type LoggedItem, type Piece, piecesOf, withTombstones } from "./piece.ts";
import { byName, LayeredStream } from "./layered-stream.ts";

/** What a flush has of one stream. */
export type Addition = { reach: StreamReach; items: LoggedItem[]; cells: Cells };

/** Says of an item of a stream whether it is to be a tombstone; undefined for a stream that has none. */
export type ErasedItems = (stream: string) => ((item: LoggedItem) => boolean) | undefined;

export type LayerPlan = {
  /** Where the layer goes. */
  into: LayerSource;
  /**
   * Layers of another database that are newer than those of `into` and join the new one; the caller deletes them there.
   */
  carried?: LayerSource | undefined;
  additions: readonly Addition[];
  /** All layers become one; must be said when something is erased. */
  isWhole: boolean;
  erased?: ErasedItems;
  /** Whether there is nothing below the oldest of these layers, in whichever database. */
  isBottom: boolean;
  packing: Packing;
  scratch: LayerScratch;
};

/** Memory that one layer after another is built in. */
export class LayerScratch {
  readonly additions = new GrowingWriter(16 * 1024);
  readonly page = new GrowingWriter(32 * 1024);
}

/** A layer is merged with the new one unless it is so many times as large. */
const FANOUT = 3;
/** What is smaller counts as this: merging it costs less than reading one more layer. */
const LAYER_BYTES_MIN = 2048;

/** Writes what the plan says. A transaction of the database must be open. @returns the stack as it is then */
export function putLayer(plan: LayerPlan): LayerStack {
  const { into, carried } = plan;
  const { db, shard, stack } = into;
  const top = fragmentsOf(plan.scratch.additions, plan.additions);
  const carriedBytes = carried?.stack.layers.reduce((sum, layer) => sum + layer.rawBytes, 0) ?? 0;
  const kept = plan.isWhole ? 0 : keptLayers(stack.layers, top.length + carriedBytes);
  const merged = stack.layers.slice(kept);
  const below = [...merged.map((layer) => into.fragments(layer)), ...carriedFragments(carried)];
  const writer = new LayerWriter(db, shard, stack.next, plan.packing, plan.scratch.page);
  const isOldest = plan.isBottom && kept === 0;
  for (const fragments of byName([...below, fragmentsIn(top)])) writeMerged(writer, fragments, isOldest, plan.erased);
  const layer = writer.finish();
  plan.scratch.additions.reset();
  for (const old of merged) deleteLayer(db, shard, old);
  const left = stack.layers.slice(0, kept);
  return { next: stack.next + 1, layers: layer === undefined ? left : [...left, layer] };
}

/** How many of the oldest layers stay as they are under one with so many bytes. */
export function keptLayers(layers: readonly Layer[], bytes: number): number {
  let merged = Math.max(bytes, LAYER_BYTES_MIN);
  let kept = layers.length;
  while (kept > 0 && layers[kept - 1]!.rawBytes < FANOUT * merged) merged += layers[--kept]!.rawBytes;
  return kept;
}

function carriedFragments(carried: LayerSource | undefined): Iterable<Fragment>[] {
  return carried?.stack.layers.map((layer) => carried.fragments(layer)) ?? [];
}

function fragmentsOf(out: GrowingWriter, additions: readonly Addition[]): Buffer {
  out.reset();
  const sorted = additions.toSorted((a, b) => (a.reach.name < b.reach.name ? -1 : 1));
  for (const { reach, items, cells } of sorted) writeFragment(out, reach, piecesOf(items), cells);
  return out.written();
}

/** Under the oldest layer there is nothing that a cleared cell could hide. */
function writeMerged(writer: LayerWriter, fragments: Fragment[], isOldest: boolean, erased?: ErasedItems): void {
  const [{ name, bytes, from, end }] = fragments as [Fragment, ...Fragment[]];
  const isErased = erased?.(name);
  const layered = new LayeredStream(fragments);
  const at = writer.out.pos;
  if (fragments.length === 1 && isErased === undefined) writer.out.copy(bytes, from, end);
  else {
    const cells = layered.cells();
    if (isOldest) for (const [key, value] of cells) if (value === null) cells.delete(key);
    writeFragment(writer.out, layered.reach, joined(withoutErased(layered.pieces, isErased)), cells);
  }
  // What was erased weighs less now.
  writer.added(
    isErased === undefined ? layered : new LayeredStream([readFragment(writer.out.bytes, at, writer.out.pos)]),
  );
}

function withoutErased(pieces: readonly Piece[], isErased: ReturnType<ErasedItems>): readonly Piece[] {
  if (isErased === undefined) return pieces;
  return pieces.flatMap((piece) => {
    const items = itemsOf(piece);
    const left = withTombstones(items, isErased);
    return left === items ? [piece] : piecesOf(left);
  });
}
