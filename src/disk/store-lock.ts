import { InfinitError, type Logger } from '../base/index.ts';
import type { Files } from './files.ts';
import { LevelIndex } from './level-index.ts';
import type { StoreDirectory } from './store-directory.ts';

/**
 * Opens the index, and with it takes the store: LevelDB's lock is the kernel's, freed when the process dies, and holds across
 * pid namespaces, where the number in our `lock` file means nothing. That file only tells people who it is.
 * @throws InfinitError `locked` that names the holder.
 */
export async function openIndex(files: Files, directory: StoreDirectory, logger: Logger): Promise<LevelIndex> {
  let index: LevelIndex;
  const rebuild = (await files.readText(directory.rebuild)) !== undefined;
  try {
    index = await LevelIndex.open(directory.index);
    if (rebuild) {
      logger.warn('makes the index anew: it was found damaged');
      await index.close();
      index = await renew(files, directory);
    }
  } catch (error) {
    if (!(error instanceof InfinitError)) throw error;
    const holder = (await files.readText(directory.lock))?.trim();
    if (error.code === 'locked')
      throw new InfinitError(
        'locked',
        `the store ${directory.path} is held by process ${holder ?? 'unknown'}: Infinit runs here already, see \`infinit status\`; one daemon a directory`,
        {
          cause: error,
        },
      );
    if (error.code !== 'damaged') throw error;
    if (holder !== undefined && Number(holder) !== process.pid && isAlive(Number(holder)))
      throw new InfinitError('locked', `the store ${directory.path} is held by process ${holder}, and its index is damaged`, { cause: error });
    logger.warn('makes the index anew: it is damaged', { error });
    index = await renew(files, directory);
  }
  await files.replace(directory.lock, `${process.pid}\n`);
  return index;
}

/** Gives the store back. The index is closed by then. */
export async function releaseStore(files: Files, directory: StoreDirectory): Promise<void> {
  await files.unlink(directory.lock);
}

async function renew(files: Files, directory: StoreDirectory): Promise<LevelIndex> {
  await LevelIndex.destroy(directory.index);
  const index = await LevelIndex.open(directory.index);
  await files.unlink(directory.rebuild);
  return index;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
