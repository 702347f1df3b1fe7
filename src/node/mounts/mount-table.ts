import { readFileSync } from 'node:fs';

import type { Disk } from '../../disk/index.ts';

/** Who asked for which volume on this host, kept over restarts of the daemon. A reboot empties it: no container outlives that. */
interface TableContent {
  readonly bootId: string;
  readonly holders: Readonly<Record<string, readonly string[]>>;
  /** Which volume each of these names meant; absent, or without a name, where an earlier version did not note it. */
  readonly ids?: Readonly<Record<string, string>>;
}

const metaKey = 'mounts';

/** Holders a volume may have at once; a further one pushes out the oldest, which only weakens the message of a refused remove. */
const maxHolders = 4096;

/** Holders by the name of the mount, each name with the id of the volume that is meant. */
export class MountTable {
  readonly #disk: Disk;
  readonly #mounts: Map<string, { readonly id: string | undefined; readonly holders: Set<string> }>;
  /** Of all changes, counted, the last one and the last that the disk took: it may name holders that gave their mounts back. */
  #changes = 0;
  #noted = 0;

  private constructor(disk: Disk, { holders, ids = {} }: Pick<TableContent, 'holders' | 'ids'>) {
    this.#disk = disk;
    this.#mounts = new Map(Object.entries(holders).map(([volume, names]) => [volume, { id: ids[volume], holders: new Set(names) }]));
  }

  static async open(disk: Disk): Promise<MountTable> {
    const bytes = await disk.readMeta(metaKey);
    const content = bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString('utf8')) as TableContent);
    return new MountTable(disk, content?.bootId === bootId() ? content : { holders: {} });
  }

  holders(volume: string): readonly string[] {
    return [...(this.#mounts.get(volume)?.holders ?? [])];
  }

  /** The id of the volume whose holders these are, where it was noted. */
  idOf(volume: string): string | undefined {
    return this.#mounts.get(volume)?.id;
  }

  /** Volumes that have a holder. */
  volumes(): readonly string[] {
    return [...this.#mounts.keys()];
  }

  /** Those who held another volume under this name hold nothing any more. */
  async add(volume: string, id: string, holder: string): Promise<void> {
    const known = this.#mounts.get(volume);
    const isSame = known?.id === id;
    if (isSame && known.holders.has(holder)) return;
    const holders = isSame || known?.id === undefined ? (known?.holders ?? new Set<string>()) : new Set<string>();
    if (holders.size >= maxHolders) holders.delete(holders.values().next().value!);
    holders.add(holder);
    this.#mounts.set(volume, { id, holders });
    try {
      await this.#save();
    } catch (error) {
      // The mount fails by this, so nobody will ever give it back.
      holders.delete(holder);
      if (holders.size === 0 && this.#mounts.get(volume)?.holders === holders) this.#mounts.delete(volume);
      throw error;
    }
  }

  /** Given back it is given back, also where the disk does not take it. It is told so again when that is said again, and with whatever changes next. */
  async delete(volume: string, holder: string): Promise<void> {
    const known = this.#mounts.get(volume);
    const isGone = known?.holders.delete(holder) !== true;
    if (isGone && this.#noted === this.#changes) return;
    if (known?.holders.size === 0) this.#mounts.delete(volume);
    await this.#save();
  }

  async deleteVolume(volume: string): Promise<void> {
    if (this.#mounts.delete(volume)) await this.#save();
  }

  async #save(): Promise<void> {
    const mounts = [...this.#mounts];
    const content: TableContent = {
      bootId: bootId(),
      holders: Object.fromEntries(mounts.map(([volume, { holders }]) => [volume, [...holders]])),
      ids: Object.fromEntries(mounts.flatMap(([volume, { id }]) => (id === undefined ? [] : [[volume, id]]))),
    };
    const change = ++this.#changes;
    await this.#disk.write([{ type: 'put-meta', key: metaKey, bytes: Buffer.from(JSON.stringify(content)) }]);
    this.#noted = Math.max(this.#noted, change);
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
