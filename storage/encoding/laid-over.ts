type Layer = Iterable<[name: string, value: Uint8Array | null]>;

/**
 * Cells of layers laid over each other, the newest layer first: each name once, with its newest value, those without
 * that were cleared (null).
 */
export function* laidOver(layers: readonly Layer[]): Iterable<[name: string, value: Uint8Array]> {
  const seen = new Set<string>();
  for (const [at, layer] of layers.entries()) {
    const isLowest = at === layers.length - 1;
    for (const [name, value] of layer) {
      if (seen.has(name)) continue;
      if (!isLowest) seen.add(name);
      if (value !== null) yield [name, value];
    }
  }
}
