import { noVolume, typedOptions, type VolumeCheck } from '../../api/index.ts';
import { codeOf, InfinitError, type Logger, systemClock } from '../../base/index.ts';
import { Sealer } from '../../block/index.ts';
import { checkVolume, type CheckReport, type Problem } from '../../filesystem/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from './catalogue.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import type { OrphanSweep } from './orphan-sweep.ts';
import { volumeKey } from './volume-key.ts';
import type { Volumes } from './volumes.ts';

export interface VolumeCheckContext {
  readonly catalogue: Catalogue;
  readonly volumes: Volumes;
  readonly sweep: OrphanSweep;
  readonly store: BlockStore;
  readonly keyDir: string;
  /** @throws InfinitError `denied` where this host may not write. */
  readonly checkWrites: () => void;
  /** As in {@link TrashContext}. */
  readonly checkMember: () => void;
  /** As in {@link VolumesContext}. */
  readonly usedElsewhere: (volumeId: string) => Promise<readonly string[]>;
  /** This host, and the one that has a volume's lease where one has, by name. */
  readonly hostName: string;
  readonly leaseHolder: (volumeId: string) => Promise<string | undefined>;
  readonly logger: Logger;
}

/**
 * Looks whether a volume fits together: on the host that has it open while it goes on, elsewhere only while nobody has it mounted. Blocks that nothing refers
 * to are counted (and with `repair` freed, and wrong usage is corrected) where the volume is open.
 * @throws InfinitError `not-found`, `in-use` that names the host to ask.
 */
export async function checkNow(context: VolumeCheckContext, name: string, repair: boolean): Promise<VolumeCheck> {
  context.checkMember();
  if (repair) context.checkWrites();
  const entry = await context.catalogue.current(name);
  if (entry === undefined) throw noVolume(name, await context.catalogue.list());
  const served = context.volumes.servedById(entry.id);
  const open = await served?.check(repair);
  if (open !== undefined) {
    const { unreferenced, unreferencedBytes } = await context.sweep.run({ volumeId: entry.id, dry: !repair });
    return { ...shown(name, open), unreferenced, unreferencedBytes };
  }
  const hosts = await context.usedElsewhere(entry.id);
  if (served !== undefined || hosts.length > 0) {
    // Who had it last may have died: a host counts that says itself that it has it mounted.
    const holder = await context.leaseHolder(entry.id).catch(() => undefined);
    const where = holder !== undefined && hosts.includes(holder) ? holder : 'another host';
    const mounted = served === undefined ? hosts : [`this host (${context.hostName})`, ...hosts];
    throw new InfinitError('in-use', `volume "${name}" is open on ${where}: check it there (it is mounted on ${mounted.join(', ')})`);
  }
  if (repair) throw new InfinitError('bad-argument', `volume "${name}" is not mounted on this host: mount it to repair it`);
  const report = await closedReport(context, entry).catch((error: unknown) => {
    if (codeOf(error) === 'not-found')
      throw new InfinitError('not-found', `volume "${name}" was never mounted: there is nothing on it to check`, { cause: error });
    throw error;
  });
  return shown(name, report);
}

function closedReport({ store, keyDir, logger }: VolumeCheckContext, entry: CatalogueEntry): Promise<CheckReport> {
  const sealer = new Sealer(typedOptions(entry.options).encrypted ? volumeKey(keyDir, entry.id) : undefined);
  return checkVolume({ store, sealer, volumeId: entry.id, session: 0, clock: systemClock, logger });
}

function shown(name: string, { problems, directories, files, allocated }: CheckReport): VolumeCheck {
  return { name, problems: problems.map(inWords), directories, files, allocatedBytes: allocated };
}

function inWords(problem: Problem): string {
  switch (problem.kind) {
    case 'lost': {
      const where = problem.name === undefined ? '' : `, "${problem.name}" of directory ${problem.directory},`;
      return `inode ${problem.inode}${where} is lost: its blocks were given up with all their hosts`;
    }
    case 'dangling-name':
      return `directory ${problem.directory}: "${problem.name}" names inode ${problem.inode}, which does not exist`;
    case 'wrong-type':
      return `directory ${problem.directory}: "${problem.name}" has another type than inode ${problem.inode}`;
    case 'wrong-links':
      return `inode ${problem.inode} counts ${problem.links} links and has ${problem.names}`;
    case 'wrong-parent':
      return `directory ${problem.inode} is in ${problem.foundIn} and says ${problem.parent}`;
    case 'two-parents':
      return `directory ${problem.inode} is in ${problem.foundIn} and elsewhere`;
    case 'missing-block':
      return `inode ${problem.inode} refers to block ${problem.address}, which is missing`;
    case 'shared-block':
      return `inode ${problem.inode} refers to block ${problem.address}, as another does`;
    case 'leaked-block':
      return `block ${problem.address} of inode ${problem.inode} is referred to by nothing`;
    case 'leaked-inode':
      return `inode ${problem.inode} has no name`;
    case 'wrong-usage':
      return `the volume counts ${problem.recorded} ${problem.what === 'files' ? 'inodes' : 'bytes'} and has ${problem.counted}`;
  }
}
