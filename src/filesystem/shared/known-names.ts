/** Directories of which names are kept at the most, and names of all of them. */
const maxDirectories = 1024;
const maxNames = 32_768;

/** What a name stands for; null: nothing, undefined: that is not known. */
export type KnownName = number | null | undefined;

/** What is known of one directory's names. */
export class Names {
  readonly entries = new Map<string, number | null>();
  /** Inodes by number, as of when they were asked for. */
  #order: number[] | undefined;
  /** Names that are being changed, and by how many calls. */
  readonly #changing = new Map<string, number>();
  /** What is not among the entries does not exist. */
  complete = false;
  /** Changes of which it is not known how they ended. */
  doubts = 0;

  get changing(): number {
    return this.#changing.size;
  }

  get(name: string): KnownName {
    const inode = this.entries.get(name);
    return inode === undefined && this.complete && !this.#changing.has(name) ? null : inode;
  }

  /** The inodes after one, in the order in which they were made. */
  *next(after: number): Iterable<number> {
    this.#order ??= [...this.entries.values()].filter((inode) => inode !== null).sort((one, other) => one - other);
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle]! <= after) low = middle + 1;
      else high = middle;
    }
    for (let index = low; index < this.#order.length; index++) yield this.#order[index]!;
  }

  /** The name is about to be changed. */
  begin(name: string): void {
    this.#order = undefined;
    this.entries.delete(name);
    this.#changing.set(name, (this.#changing.get(name) ?? 0) + 1);
  }

  put(name: string, inode: number | null): void {
    if (this.entries.get(name) !== inode) this.#order = undefined;
    this.entries.set(name, inode);
  }

  end(name: string, known: boolean): void {
    const left = this.#changing.get(name)! - 1;
    if (left > 0) this.#changing.set(name, left);
    else this.#changing.delete(name);
    if (known) return;
    this.complete = false;
    this.doubts++;
  }
}

/** What is known of names, by directory. */
export class NameTable {
  readonly #directories = new Map<number, Names>();
  /** Names in all of them, at the most. */
  #size = 0;

  /** Names that are being changed. */
  get changing(): number {
    let changing = 0;
    for (const names of this.#directories.values()) changing += names.changing;
    return changing;
  }

  get(directory: number): Names | undefined {
    return this.#directories.get(directory);
  }

  of(directory: number): Names {
    let names = this.#directories.get(directory);
    if (names === undefined) {
      this.#directories.set(directory, (names = new Names()));
      if (this.#directories.size > maxDirectories) this.forget(this.#directories.keys().next().value!);
    }
    return names;
  }

  put(names: Names, name: string, inode: number | null): void {
    names.put(name, inode);
    if (++this.#size <= maxNames) return;
    this.#size = 0;
    for (const { entries } of this.#directories.values()) this.#size += entries.size;
    for (const directory of this.#directories.keys()) if (this.#size > maxNames / 2) this.forget(directory);
  }

  forget(directory: number): void {
    this.#size -= this.#directories.get(directory)?.entries.size ?? 0;
    this.#directories.delete(directory);
  }

  clear(): void {
    this.#directories.clear();
    this.#size = 0;
  }
}
