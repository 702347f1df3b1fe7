import { noVolume, typedOptions, type VolumeCheck } from '../../api/index.ts';
import { type Clock, codeOf, InfinitError, type Logger, messageOf, systemClock } from '../../base/index.ts';
import { Sealer } from '../../block/index.ts';
import {
  checkVolume,
  type CheckReport,
  costOf,
  type MendReport,
  openWithoutLost,
  type Problem,
  rootInode,
  saysLost,
  type VolumeSetup,
} from '../../filesystem/index.ts';
import type { Transport } from '../../overlay/index.ts';
import { takeLease } from '../sharing/take-lease.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from './catalogue.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import type { OrphanSweep } from './orphan-sweep.ts';
import { volumeKey } from './volume-key.ts';
import { claimSession } from './volume-session.ts';
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
  /** As in {@link TrashContext}. */
  readonly cluster: () => Transport | undefined;
  readonly self: string;
  readonly clock: Clock;
  readonly mayBeInUse: (volumeId: string) => Promise<boolean>;
  /** Losses that nobody accepted, in words: what is told to be lost may be there again, once those hosts or what they had are. */
  readonly unacceptedLoss: () => string | undefined;
  /** Numbers of the volume's inodes of which this host keeps the records. */
  readonly inodesHere: (volumeId: string) => AsyncIterable<number>;
  /** Keeps what cannot be undone, durably, before and after it is done. */
  readonly audit: (line: object) => Promise<void>;
  readonly logger: Logger;
}

/**
 * Looks whether a volume fits together: on the host that has it open while it goes on, elsewhere only while nobody has it mounted. Blocks that nothing refers
 * to are counted (and with `repair` freed, and wrong usage is corrected) where the volume is open. One that nobody has mounted is opened by `repair` without blocks of its own that are lost, and what no directory
 * names any more gets a name in /lost+found.
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
    const lost = served?.sharing?.lostParts;
    if (lost !== undefined) {
      const where = [context.hostName, ...hosts].join(', ');
      throw new InfinitError(
        'in-use',
        `${lost.message}. It is mounted on ${where}: end these mounts first (\`infinit volume unmount\`, or the containers that use it)`,
      );
    }
    // Who had it last may have died: a host counts that says itself that it has it mounted.
    const holder = await context.leaseHolder(entry.id).catch(() => undefined);
    const where = holder !== undefined && hosts.includes(holder) ? holder : 'another host';
    const mounted = served === undefined ? hosts : [`this host (${context.hostName})`, ...hosts];
    throw new InfinitError('in-use', `volume "${name}" is served by ${where}: say it there (it is mounted on ${mounted.join(', ')})`);
  }
  const report = await closedReport(context, entry).catch((error: unknown) => {
    if (codeOf(error) === 'lost') throw new InfinitError('lost', `a block of volume "${name}" itself: ${messageOf(error)}`, { cause: error });
    if (codeOf(error) === 'not-found')
      throw new InfinitError('not-found', `volume "${name}" was never mounted: there is nothing on it to check`, { cause: error });
    throw error;
  });
  if (!repair) return shown(name, report);
  const { gathered, ...mended } = await mendClosed(context, entry, report.problems.filter(isLostBlock));
  return { ...shown(name, mended), gathered };
}

function isLostBlock({ kind }: Problem): boolean {
  return kind === 'lost-block';
}

/** A person wants to do without what blocks of its own had that are lost. */
async function mendClosed(context: VolumeCheckContext, entry: CatalogueEntry, lost: readonly Problem[]): Promise<MendReport> {
  const { store, self, clock, logger } = context;
  const [volumeId, volume] = [entry.id, entry.name];
  const loss = context.unacceptedLoss();
  if (loss !== undefined) throw new InfinitError('lost', `volume "${volume}" is not repaired while what it has may be found again: ${loss}`);
  if (await context.mayBeInUse(volumeId))
    throw new InfinitError(
      'in-use',
      `volume "${volume}" is mounted on this host, and waits there: end that mount first, and with it what its programs did not sync`,
    );
  const lease = await takeLease(context.cluster(), { store, volumeId, self, clock, logger });
  const over = new AbortController();
  try {
    const guarded = lease?.guard(store, lease.tenure, over.signal) ?? store;
    await context.audit({ step: 'begin', volume, volumeId, withoutLost: lost });
    const report = await openWithoutLost(
      { ...setupOf(context, entry, guarded), session: await claimSession(store, volumeId) },
      context.inodesHere(volumeId),
    );
    const withoutLost = report.problems.filter(isLostBlock);
    await context.audit({ step: 'end', volume, volumeId, withoutLost, gathered: report.gathered });
    logger.warn('a volume that nobody has mounted was repaired', { volume, lostBlocks: withoutLost.length, gathered: report.gathered });
    return report;
  } finally {
    over.abort();
    await lease?.[Symbol.asyncDispose]();
  }
}

function setupOf({ keyDir, logger }: VolumeCheckContext, entry: CatalogueEntry, store: BlockStore): VolumeSetup {
  const { encrypted, compressed } = typedOptions(entry.options);
  const sealer = new Sealer(encrypted ? volumeKey(keyDir, entry) : undefined, compressed);
  return { store, sealer, volumeId: entry.id, session: 0, clock: systemClock, logger };
}

function closedReport(context: VolumeCheckContext, entry: CatalogueEntry): Promise<CheckReport> {
  return checkVolume(setupOf(context, entry, context.store));
}

function shown(name: string, { problems, directories, files, allocated }: CheckReport): VolumeCheck {
  return { name, problems: problems.map(inWords), directories, files, allocatedBytes: allocated };
}

function inWords(problem: Problem): string {
  switch (problem.kind) {
    case 'lost': {
      if (problem.inode === rootInode)
        return 'the root directory is lost: once that is accepted (see infinit status) --repair puts what is left into /lost+found';
      const where = problem.name === undefined ? '' : `, "${problem.name}" of directory ${problem.directory},`;
      return `inode ${problem.inode}${where} is lost with all its hosts`;
    }
    case 'lost-names': {
      const which = problem.inode === rootInode ? 'the root directory' : `directory ${problem.inode}`;
      return `a page of the names of ${which} is lost: once that is accepted (see infinit status) --repair puts what it named into /lost+found`;
    }
    case 'lost-block':
      return `${saysLost(problem)} is lost with all its hosts: ${costOf(problem)}; with --repair the volume can be mounted without it`;
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
