/** The candidate that `word` probably means: one that is few typing errors away. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const errorsMax = Math.max(1, Math.floor(word.length / 3));
  const ranked = candidates
    .map((candidate) => ({ candidate, errors: typingErrors(word, candidate) }))
    .filter(({ candidate, errors }) => errors <= errorsMax || (word.length >= 3 && candidate.startsWith(word)))
    .sort((a, b) => a.errors - b.errors);
  return ranked[0]?.candidate;
}

/** `; did you mean X?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const guess = nearest(word, candidates);
  return guess === undefined ? "" : `; did you mean ${guess}?`;
}

/** Levenshtein's distance, where two neighbours swapped count as one. */
function typingErrors(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const steps = [at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + (isSame ? 0 : 1)];
      if (isSwapped) steps.push(at(beforeLast, column - 2) + 1);
      current.push(Math.min(...steps));
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

const at = (distances: number[], index: number): number => distances[index] ?? Infinity;
