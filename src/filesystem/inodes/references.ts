/** Who uses an inode beside its names: a kernel, or programs of other hosts that were told of it. */
import { messageOf } from '../../base/index.ts';
import type { VolumeCore } from '../core.ts';
import type { Inode } from './inode.ts';

/** The kernel gives back so many references. */
export function forget(core: VolumeCore, number: number, count: number): void {
  const inode = core.table.peek(number);
  if (inode !== undefined) forgotten(core, inode, count);
  // Only an inode without a name has to be known again, to be removed.
  else if (core.orphans.has(number)) void forgetUnknown(core, number, count);
}

async function forgetUnknown(core: VolumeCore, number: number, count: number): Promise<void> {
  try {
    const inode = await core.table.load(number);
    if (inode !== undefined) forgotten(core, inode, count);
  } catch (error) {
    core.context.logger.warn('a file without a name is left to the next mount', { inode: number, error: messageOf(error) });
  }
}

function forgotten(core: VolumeCore, inode: Inode, count: number): void {
  inode.forget(count);
  core.retireUnused(inode);
}

/** Another host may be about to open the inode, whatever becomes of its name. undefined: it is not here. Otherwise ends that; to be called once. */
export function expect(core: VolumeCore, number: number): (() => void) | undefined {
  const inode = core.table.peek(number);
  if (inode === undefined) return undefined;
  inode.expected++;
  return () => {
    inode.expected--;
    core.retireUnused(inode);
  };
}
