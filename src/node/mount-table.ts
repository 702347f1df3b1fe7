import { readFileSync } from 'node:fs';

import type { Disk } from '../disk/index.ts';

/** Who asked for which volume on this host, kept over restarts of the daemon. A reboot empties it: no container outlives that. */
interface TableContent {
  readonly bootId: string;
  readonly holders: Readonly<Record<string, readonly string[]>>;
}

const metaKey = 'mounts';

/** Holders a volume may have at once; a further one pushes out the oldest, which only weakens the message of a refused remove. */
const maxHolders = 4096;

export class MountTable {
  readonly #disk: Disk;
  readonly #holders: Map<string, Set<string>>;

  private constructor(disk: Disk, holders: Map<string, Set<string>>) {
    this.#disk = disk;
    this.#holders = holders;
  }

  static async open(disk: Disk): Promise<MountTable> {
    const bytes = await disk.readMeta(metaKey);
    const content = bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as TableContent);
    const holders = content?.bootId === bootId() ? Object.entries(content.holders) : [];
    return new MountTable(disk, new Map(holders.map(([volume, ids]) => [volume, new Set(ids)])));
  }

  holders(volume: string): readonly string[] {
    return [...(this.#holders.get(volume) ?? [])];
  }

  /** Volumes that have a holder. */
  volumes(): readonly string[] {
    return [...this.#holders.keys()];
  }

  async add(volume: string, holder: string): Promise<void> {
    const set = this.#holders.get(volume) ?? new Set();
    if (set.has(holder)) return;
    if (set.size >= maxHolders) set.delete(set.values().next().value!);
    set.add(holder);
    this.#holders.set(volume, set);
    await this.#save();
  }

  async delete(volume: string, holder: string): Promise<void> {
    const set = this.#holders.get(volume);
    if (set === undefined || !set.delete(holder)) return;
    if (set.size === 0) this.#holders.delete(volume);
    await this.#save();
  }

  async deleteVolume(volume: string): Promise<void> {
    if (this.#holders.delete(volume)) await this.#save();
  }

  #save(): Promise<void> {
    const content: TableContent = { bootId: bootId(), holders: Object.fromEntries([...this.#holders].map(([volume, ids]) => [volume, [...ids]])) };
    return this.#disk.write([{ type: 'put-meta', key: metaKey, bytes: Buffer.from(JSON.stringify(content)) }]);
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
