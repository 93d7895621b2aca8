/**
 * Counts durations in buckets of about 1.6 % width, from 1 µs to over an hour: percentiles without storing each
 * duration.
 */
const SUB_BITS = 6;
const SUB = 1 << SUB_BITS;
const BUCKETS = 28 * SUB;

export class Histogram {
  private readonly counts = new Float64Array(BUCKETS);
  private total = 0;
  private largest = 0;

  get count(): number {
    return this.total;
  }

  get maxMs(): number {
    return this.largest;
  }

  record(ms: number): void {
    const bucket = bucketOf(Math.max(0, Math.round(ms * 1000)));
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.total++;
    if (ms > this.largest) this.largest = ms;
  }

  clear(): void {
    this.counts.fill(0);
    this.total = 0;
    this.largest = 0;
  }

  /** Milliseconds below which `percent` of the durations lie (the middle of the bucket); NaN when there are none. */
  percentile(percent: number): number {
    if (this.total === 0) return Number.NaN;
    let left = Math.max(1, Math.ceil((this.total * percent) / 100));
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.counts[bucket] ?? 0;
      if (left <= 0) return Math.min(middleOf(bucket) / 1000, this.largest);
    }
    return this.largest;
  }
}

/** Below 64 µs one bucket a microsecond; above, 64 buckets for each doubling. */
function bucketOf(micros: number): number {
  if (micros < SUB) return micros;
  const doublings = 31 - Math.clz32(Math.min(micros, 0x7fffffff)) - SUB_BITS;
  const sub = Math.floor(micros / 2 ** doublings) - SUB;
  return Math.min(BUCKETS - 1, (doublings + 1) * SUB + Math.min(sub, SUB - 1));
}

function middleOf(bucket: number): number {
  if (bucket < SUB) return bucket;
  const doublings = Math.floor(bucket / SUB) - 1;
  return ((bucket % SUB) + SUB + 0.5) * 2 ** doublings;
}
