import type { VolumeCore } from './core.ts';
import { asFileSystemError } from './failure.ts';
import type { FileSystemError } from './file-system.ts';
import type { Inode } from './inodes/inode.ts';
import type { Shown } from './shared/index.ts';

/** Makes durable what others are about to be shown; undefined where it is already. Resolves to the inodes of which that failed. @throws FileSystemError where names failed. */
export function keepShown(core: VolumeCore, { inodes, names }: Shown): Promise<ReadonlyMap<number, FileSystemError>> | undefined {
  const { table, log } = core;
  // What is not in memory is durable.
  const known = inodes.flatMap((number) => table.peek(number) ?? []);
  let through = names === 'all' ? log.last : 0;
  if (names !== 'all') for (const number of names) through = Math.max(through, table.peek(number)?.lastNamed ?? 0);
  for (const { lastOperation } of known) through = Math.max(through, lastOperation);
  if (through <= log.durable && !known.some(({ gone, exposed }) => !gone && exposed)) return undefined;
  if (through > log.durable) core.flusher.awaited();
  return keep(core, through, known);
}

async function keep({ names, log, flusher }: VolumeCore, through: number, inodes: readonly Inode[]): Promise<ReadonlyMap<number, FileSystemError>> {
  try {
    // What names were changed in, and whose they are, is shown with them most of the time: one commit for all, if that alone fits. Nobody's names wait for content, or for what could not be written before.
    const joins = ({ content, gone, exposed, born }: Inode): boolean => !gone && exposed && born && content?.changed !== true;
    const changed = inodes.filter((inode) => joins(inode) && !flusher.late.has(inode));
    if (through > log.durable) await names.flush(through, ...changed).catch(() => names.flush(through));
    const failed = await flusher.keep(inodes.filter(({ gone, exposed }) => !gone && exposed));
    return new Map([...failed].map(([{ number }, error]) => [number, asFileSystemError(error)]));
  } catch (error) {
    throw asFileSystemError(error);
  }
}
