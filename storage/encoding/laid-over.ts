type Layer = Iterable<[key: string, value: Uint8Array | null]>;

/** Cells of layers laid over each other, the newest layer first: each key once, with its newest value, those without that were cleared (null). */
export function* laidOver(layers: readonly Layer[]): Iterable<[key: string, value: Uint8Array]> {
  const seen = new Set<string>();
  for (const [at, layer] of layers.entries()) {
    const isLowest = at === layers.length - 1;
    for (const [key, value] of layer) {
      if (seen.has(key)) continue;
      if (!isLowest) seen.add(key);
      if (value !== null) yield [key, value];
    }
  }
}
