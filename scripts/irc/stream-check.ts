/**
 * What one device got of one conversation, small enough to store for every member of every group: a bit for each seq,
 * and a sum of hashes instead of the messages. In the end it is compared with the conversation's history.
 */

/** The part of a message that must be equal for all readers. */
export type SeenMessage = { id: string; seq: number; from: string; text?: string };

export type Differences = { lost: number; duplicated: number; misordered: number };
export const noDifferences = (): Differences => ({ lost: 0, duplicated: 0, misordered: 0 });
export function addDifferences(sum: Differences, more: Differences): void {
  sum.lost += more.lost;
  sum.duplicated += more.duplicated;
  sum.misordered += more.misordered;
}

/** 32 bits of id and text (FNV-1a over UTF-16 units). */
export function hashMessage(message: { id: string; text?: string }): number {
  let hash = 0x811c9dc5;
  const { id, text = "" } = message;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

export class StreamCheck {
  private bits = new Uint32Array(1);
  private last = 0;
  private sum = 0;
  private count = 0;
  private duplicated = 0;
  private misordered = 0;

  note(message: SeenMessage): void {
    const { seq } = message;
    if (this.has(seq)) {
      this.duplicated++;
      return;
    }
    if (seq < this.last) this.misordered++;
    else this.last = seq;
    this.set(seq);
    this.count++;
    this.sum = (this.sum + positioned(message)) | 0;
  }

  /** Duplicates and wrong order that show without knowing the expected messages. */
  get seenWrong(): { duplicated: number; misordered: number } {
    return { duplicated: this.duplicated, misordered: this.misordered };
  }

  /**
   * Compares with everything that this device should have got. A message with a wrong id or text at its seq counts as
   * lost. A message at a seq where none belongs counts as duplicated.
   */
  compare(expected: Iterable<SeenMessage>): Differences {
    let missing = 0;
    let found = 0;
    let sum = 0;
    for (const message of expected) {
      if (!this.has(message.seq)) {
        missing++;
        continue;
      }
      found++;
      sum = (sum + positioned(message)) | 0;
    }
    const unexpected = this.count - found;
    const isAltered = unexpected === 0 && sum !== this.sum;
    return { lost: missing + Number(isAltered), duplicated: this.duplicated + unexpected, misordered: this.misordered };
  }

  private has(seq: number): boolean {
    return ((this.bits[seq >>> 5] ?? 0) & (1 << (seq & 31))) !== 0;
  }

  private set(seq: number): void {
    const word = seq >>> 5;
    if (word >= this.bits.length) {
      const larger = new Uint32Array(Math.max(word + 1, this.bits.length * 2));
      larger.set(this.bits);
      this.bits = larger;
    }
    this.bits[word] = (this.bits[word] ?? 0) | (1 << (seq & 31));
  }
}

/** Mixed as in murmur3, so that two messages that change places change the sum. */
function positioned(message: SeenMessage): number {
  let hash = hashMessage(message) ^ Math.imul(message.seq, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Compares `actual` with the expected messages in order: which are missing, repeated or unexpected, or too early. */
export function compareOrder(expected: string[], actual: string[]): Differences {
  const places = new Map(expected.map((id, place) => [id, place]));
  const seen = new Set<string>();
  const result = noDifferences();
  let last = -1;
  for (const id of actual) {
    const place = places.get(id);
    if (place === undefined || seen.has(id)) {
      result.duplicated++;
      continue;
    }
    seen.add(id);
    if (place < last) result.misordered++;
    else last = place;
  }
  result.lost = places.size - seen.size;
  return result;
}
