/**
 * Pointers of the cells' last values, by name: of one stream in one memtable. Few names are searched one by one, since a
 * map of one takes 300 bytes, as much as all else that a memtable has of a small stream.
 */

/** Above this number there is a map. */
export const SEARCHED_MAX = 8;

export class MemCells {
  /** Unused when there is a map. */
  #names: string[] = [];
  #pointers: number[] = [];
  #byName: Map<string, number> | undefined = undefined;

  set(name: string, pointer: number): void {
    if (this.#byName !== undefined) return void this.#byName.set(name, pointer);
    const at = this.#names.indexOf(name);
    if (at >= 0) this.#pointers[at] = pointer;
    else if (this.#names.length < SEARCHED_MAX) {
      this.#names.push(name);
      this.#pointers.push(pointer);
    } else this.#index(name, pointer);
  }

  get(name: string): number | undefined {
    if (this.#byName !== undefined) return this.#byName.get(name);
    const at = this.#names.indexOf(name);
    return at < 0 ? undefined : this.#pointers[at];
  }

  entries(): Iterable<[name: string, pointer: number]> {
    return this.#byName ?? this.#names.map((name, at) => [name, this.#pointers[at]!]);
  }

  #index(name: string, pointer: number): void {
    this.#byName = new Map([...this.entries(), [name, pointer]]);
    this.#names = [];
    this.#pointers = [];
  }
}
