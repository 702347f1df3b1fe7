import type { CheckReport } from './check.ts';
import type { VolumeSetup } from './context.ts';
import type { LostBlock } from './journal/lost-blocks.ts';
import { Volume } from './volume.ts';

/**
 * Opens a volume that nobody has mounted without the blocks of its journals that were given up, brings what is left to its place and closes it: from then on it can be mounted. Returns
 * what does not fit, and did not let itself be corrected, with the blocks first.
 * @throws InfinitError
 */
export async function openWithoutLost(setup: VolumeSetup): Promise<CheckReport> {
  const lost: LostBlock[] = [];
  const volume = await Volume.open({ ...setup, lost });
  try {
    const report = await volume.check(true);
    await volume.close();
    return { ...report, problems: [...lost.map((one) => ({ kind: 'lost-journal' as const, ...one })), ...report.problems] };
  } catch (error) {
    await volume.abandon();
    throw error;
  }
}
