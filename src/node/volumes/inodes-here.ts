import { kindOf, lastImmutableAddress, namedAddress, ownerOf } from '../../block/index.ts';
import type { Housekeeping } from '../../store/index.ts';

const pageBlocks = 256;

/** Numbers of a volume's inodes of which this host keeps the records: each says in clear whose it is, and its address is that of the inode. */
export async function* inodesHere(housekeeping: Pick<Housekeeping, 'list' | 'inspect'>, volumeId: string): AsyncGenerator<number> {
  for (let after = lastImmutableAddress; ;) {
    const page = await housekeeping.list(after, pageBlocks);
    for (const { address } of page) {
      if (kindOf(address) !== 'named') continue;
      const value = (await housekeeping.inspect(address))?.accepted?.record.value ?? null;
      const inode = value === null ? undefined : inodeIn(value);
      if (inode !== undefined && namedAddress(volumeId, `inode:${inode}`) === address) yield inode;
    }
    const last = page.at(-1);
    if (last === undefined || page.length < pageBlocks) return;
    after = last.address;
  }
}

/** undefined: it is no block of a volume. */
function inodeIn(value: Uint8Array): number | undefined {
  try {
    return ownerOf(value).inode;
  } catch {
    return undefined;
  }
}
