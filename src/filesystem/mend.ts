import type { CheckReport } from './check.ts';
import type { VolumeSetup } from './context.ts';
import type { LostBlock } from './journal/lost-blocks.ts';
import { Volume } from './volume.ts';

/** What was done to a volume, and what still does not fit together. */
export interface MendReport extends CheckReport {
  /** How many files and directories without a name were given one in /lost+found. */
  readonly gathered: number;
}

/**
 * Opens a volume that nobody has mounted without those blocks of its journals, and of its own, that are lost, brings what is left to its place, gives what has lost its name one in /lost+found
 * and closes it: from then on it can be mounted. Returns what is lost, the blocks first, and what does not fit and did not let itself be corrected.
 * @param numbers Inodes that there may be without a name. @throws InfinitError
 */
export async function openWithoutLost(setup: VolumeSetup, numbers: AsyncIterable<number>): Promise<MendReport> {
  const lost: LostBlock[] = [];
  const volume = await Volume.open({ ...setup, lost });
  try {
    const before = await volume.check();
    const gathered = await volume.gatherLost(numbers);
    await volume.check(true);
    const after = await volume.check();
    await volume.close();
    // What was corrected and is lost all the same.
    const gone = before.problems.filter(({ kind }) => kind === 'dangling-name' || kind === 'lost-names');
    return { ...after, gathered, problems: [...lost.map((one) => ({ kind: 'lost-block' as const, ...one })), ...gone, ...after.problems] };
  } catch (error) {
    await volume.abandon();
    throw error;
  }
}
