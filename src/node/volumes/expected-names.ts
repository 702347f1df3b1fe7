import type { Disk } from '../../disk/index.ts';

const metaKey = 'expected-names';

/** Names kept; a further one pushes out the oldest. */
const maxNames = 1024;

/** Names that the engine was told are volumes while this host could not know, kept over restarts as the engine keeps them. */
export class ExpectedNames {
  readonly #disk: Disk;
  readonly #names: Set<string>;

  private constructor(disk: Disk, names: Set<string>) {
    this.#disk = disk;
    this.#names = names;
  }

  static async open(disk: Disk): Promise<ExpectedNames> {
    const bytes = await disk.readMeta(metaKey);
    return new ExpectedNames(disk, new Set(bytes === undefined ? [] : (JSON.parse(Buffer.from(bytes).toString('utf8')) as string[])));
  }

  list(): readonly string[] {
    return [...this.#names];
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  async add(name: string): Promise<void> {
    if (this.#names.has(name)) return;
    if (this.#names.size >= maxNames) this.#names.delete(this.#names.values().next().value!);
    this.#names.add(name);
    await this.#save();
  }

  async delete(name: string): Promise<void> {
    if (this.#names.delete(name)) await this.#save();
  }

  #save(): Promise<void> {
    return this.#disk.write([{ type: 'put-meta', key: metaKey, bytes: Buffer.from(JSON.stringify(this.list())) }]);
  }
}
