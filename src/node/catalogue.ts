import { randomBytes } from 'node:crypto';

import { InfinitError } from '../base/index.ts';
import { namedAddress, Sealer } from '../block/index.ts';
import type { Disk } from '../disk/index.ts';
import type { BlockStore } from '../store/index.ts';
import { BLinkTree, ifAbsent, type NodeSealer } from '../tree/index.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';

/** What happens to a removed volume's data. */
export type RemovedData = 'trash' | 'delete' | 'retain';

/** Where the local copy of the catalogue is kept, for the times when there is no quorum. */
const metaKey = 'catalogue';
/** Entries of one page of a scan. */
const pageEntries = 256;
/** Names that live in the tree: first the kind, then the volume's name. */
const livePrefix = 'volume/';
const trashPrefix = 'trash/';

/**
 * All volumes by name, the same on every host: a B-link tree of mutable blocks. A creation is a linearizable put-if-absent.
 * A copy lies on this host's own disk: what the engine asks at every turn (Get, List) is answered from it, because an error there
 * would make dockerd forget the volume.
 */
export class Catalogue {
  readonly #tree: BLinkTree;
  readonly #disk: Disk;
  #known: Map<string, CatalogueEntry>;
  #saved = '';

  private constructor(tree: BLinkTree, disk: Disk, known: Map<string, CatalogueEntry>) {
    this.#tree = tree;
    this.#disk = disk;
    this.#known = known;
  }

  static async open(store: BlockStore, disk: Disk, owner: string): Promise<Catalogue> {
    const tree = new BLinkTree(namedAddress(owner, 'volumes'), { store, sealer: plainNodeSealer() });
    const bytes = await disk.readMeta(metaKey);
    const entries = bytes === undefined ? [] : (JSON.parse(Buffer.from(bytes).toString('utf8')) as CatalogueEntry[]);
    return new Catalogue(tree, disk, new Map(entries.map((entry) => [entry.name, entry])));
  }

  /** Adds the entry, or returns the one that has the name already. */
  async add(entry: CatalogueEntry): Promise<CatalogueEntry> {
    const key = livePrefix + latin1(entry.name);
    const { refused, failed } = await this.#tree.apply(new Map([[key, { value: encode(entry), condition: ifAbsent }]]));
    const failure = failed.get(key);
    if (failure !== undefined) throw failure;
    const current = refused.get(key);
    const kept = current === undefined ? entry : decode(current);
    await this.#remember((known) => known.set(kept.name, kept));
    return kept;
  }

  /** From the local copy; on a miss the tree is asked, for another host may just have made it. */
  async find(name: string): Promise<CatalogueEntry | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const value = await this.#tree.get(livePrefix + latin1(name));
    if (value === undefined) return undefined;
    const entry = decode(value);
    await this.#remember((all) => all.set(name, entry));
    return entry;
  }

  list(): Promise<readonly CatalogueEntry[]> {
    return Promise.resolve([...this.#known.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  }

  /** Takes the name out of use. The data goes to the trash, or stays there for the purge to delete. */
  async remove(entry: CatalogueEntry, data: RemovedData): Promise<void> {
    const trashed = { ...entry, trashedAt: new Date().toISOString(), options: { ...entry.options, 'on-remove': data } };
    // First the copy in the trash, then the name: a crash between leaves both, and the volume as it was.
    await this.#applyAll(new Map([[`${trashPrefix}${entry.id}`, encode(trashed)]]));
    const key = livePrefix + latin1(entry.name);
    await this.#applyAll(
      new Map([[key, { value: null, condition: (current: Uint8Array | undefined) => current === undefined || decode(current).id === entry.id }]]),
    );
    await this.#remember((known) => known.delete(entry.name));
  }

  /** Removed volumes whose data is still there. */
  trash(): Promise<readonly CatalogueEntry[]> {
    return this.#scan(trashPrefix);
  }

  /** The data is gone: so is the last trace. */
  forget(id: string): Promise<void> {
    return this.#applyAll(new Map([[trashPrefix + id, null]]));
  }

  /** Brings a removed volume back under a name. @throws InfinitError `already-exists`. */
  async restore(trashed: CatalogueEntry, name: string): Promise<CatalogueEntry> {
    const { trashedAt: _dropped, ...entry } = { ...trashed, name };
    const kept = await this.add(entry);
    if (kept.id !== entry.id) throw new InfinitError('already-exists', `there is a volume "${name}": give another name to restore to`);
    await this.forget(entry.id);
    return kept;
  }

  /** Brings the local copy up to date with the tree. */
  async refresh(): Promise<void> {
    const entries = await this.#scan(livePrefix);
    await this.#remember((known) => {
      known.clear();
      for (const entry of entries) known.set(entry.name, entry);
    });
  }

  async #scan(prefix: string): Promise<CatalogueEntry[]> {
    const found: CatalogueEntry[] = [];
    let after = prefix;
    for (;;) {
      const page = await this.#tree.scan(after, pageEntries);
      for (const { key, value } of page.entries) {
        if (!key.startsWith(prefix)) return found;
        found.push(decode(value));
        after = key;
      }
      if (page.done) return found;
    }
  }

  async #applyAll(changes: Parameters<BLinkTree['apply']>[0]): Promise<void> {
    const { failed } = await this.#tree.apply(changes);
    const [failure] = failed.values();
    if (failure !== undefined) throw failure;
  }

  async #remember(change: (known: Map<string, CatalogueEntry>) => void): Promise<void> {
    const next = new Map(this.#known);
    change(next);
    this.#known = next;
    const text = JSON.stringify([...next.values()]);
    if (text === this.#saved) return;
    this.#saved = text;
    await this.#disk.write([{ type: 'put-meta', key: metaKey, bytes: Buffer.from(text) }]);
  }
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function encode(entry: CatalogueEntry): Uint8Array {
  return Buffer.from(JSON.stringify(entry));
}

function decode(bytes: Uint8Array): CatalogueEntry {
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as CatalogueEntry;
}

/** The catalogue is not secret: it is sealed plain, which still checks every byte. */
function plainNodeSealer(): NodeSealer {
  const sealer = new Sealer();
  const volume = new Uint8Array(16);
  const session = randomBytes(4).readUInt32LE();
  let sequence = 0;
  return {
    seal: (address, body) => sealer.sealPayload(address, { volume, inode: 0, epoch: 0, session, sequence: sequence++ }, body),
    open: (address, payload) => sealer.openPayload(address, payload).body,
  };
}
