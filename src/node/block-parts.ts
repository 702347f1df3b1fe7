import path from 'node:path';

import { type DaemonConfig, makeDirectory } from '../api/index.ts';
import { InfinitError, type Logger, offerHugePages, systemClock } from '../base/index.ts';
import { LogDisk, offerPieceCrcs } from '../disk/index.ts';
import { askForHugePages, fastCrcs } from '../fuse/index.ts';
import { Membership } from '../membership/index.ts';
import { hasPassport, Overlay } from '../overlay/index.ts';
import { Repair } from '../repair/index.ts';
import { Store } from '../store/index.ts';
import { aloneWithoutStore } from './members/entry.ts';
import { OverlayNeighbourhood } from './members/neighbourhood.ts';
import { checkPassport, claimStore, nameStore } from './members/store-owner.ts';
import { ViewPlacement } from './members/view-placement.ts';

/** Where the disk says that this host gives its blocks away. */
export const drainKey = 'draining';

/**
 * @throws InfinitError `unavailable` where another process runs with this host's identity, it was expelled, or it is alone and is to store nothing.
 */
function checkTakesPart(overlay: Overlay, storesNothing: boolean): void {
  if (overlay.halted !== undefined) throw new InfinitError('unavailable', `this host has stopped taking part: ${overlay.halted}`);
  if (storesNothing && overlay.clusterId === undefined) throw new InfinitError('unavailable', aloneWithoutStore);
}

/** What of a node keeps blocks, here and on other hosts: all below volumes, programs and people. */
export interface BlockParts {
  readonly disk: LogDisk;
  readonly overlay: Overlay;
  readonly membership: Membership;
  readonly store: Store;
  readonly repair: Repair;
  /** Where the identity of this host and its cluster's are. */
  readonly clusterDirectory: string;
  /** It uses what others store. */
  readonly storesNothing: boolean;
}

/** Puts them together, from the bottom up; `stack` owns what was opened. */
export async function composeBlocks(config: DaemonConfig, stack: AsyncDisposableStack, logger: Logger): Promise<BlockParts> {
  makeDirectory(config.stateDir, 0o700);
  const crcs = fastCrcs();
  if (crcs !== undefined) offerPieceCrcs(crcs);
  offerHugePages(askForHugePages);
  const storesNothing = config.capacity === 0;
  const disk = stack.use(
    await LogDisk.open(path.join(config.stateDir, 'store'), {
      logger,
      // One that stores nothing keeps its notes all the same.
      ...(config.capacity === undefined || storesNothing ? {} : { capacityBytes: config.capacity }),
    }),
  );
  const clusterDirectory = path.join(config.stateDir, 'cluster');
  await claimStore(disk, await hasPassport(clusterDirectory));
  const { zone, replicas } = config;
  const capacity = storesNothing ? 0 : Math.max(1, config.capacity ?? disk.status().totalBytes);
  const overlay = stack.use(
    await Overlay.open({
      stateDirectory: clusterDirectory,
      listen: config.listen === undefined ? undefined : `${config.listen.host}:${config.listen.port}`,
      join: config.join,
      tokenFile: config.token,
      ...(config.advertise.length === 0 ? {} : { advertise: config.advertise }),
      tls: config.tls,
      kademlia: config.dht,
      mdns: config.discover.includes('mdns'),
      name: config.name,
      zone,
      capacity,
      logger,
    }),
  );
  const { self, incarnation } = overlay;
  await nameStore(disk, self);
  await checkPassport(disk, overlay.clusterId);
  if (overlay.state === 'up' && (await disk.readMeta(drainKey)) !== undefined) overlay.setState('draining');
  const membership = stack.use(
    await Membership.open({
      disk,
      neighbourhood: new OverlayNeighbourhood(overlay),
      // Of a view without capacity no block would be placed; such a host founds no cluster and, alone, takes no writes.
      own: { zone, capacity: Math.max(1, capacity) },
      replicas,
      evictionDelayMs: config.evictionDelayMs,
      clock: systemClock,
      logger,
    }),
  );
  const placement = new ViewPlacement({ self, views: membership, check: () => checkTakesPart(overlay, storesNothing) });
  const shared = { transport: overlay.transport, placement, rightsOf: (peer: string) => overlay.rightsOf(peer) };
  const store = stack.use(await Store.open({ self, incarnation, disk, logger, cluster: shared }));
  membership.start(store);
  const settings = { bytesPerSecond: config.repairBytesPerSecond, scrubBytesPerSecond: config.scrubBytesPerSecond };
  const isExpelled = (peer: string): boolean => overlay.expelled().has(peer);
  const repair = stack.use(Repair.start({ store, transport: overlay.transport, views: membership, settings, isExpelled, logger }));
  return { disk, overlay, membership, store, repair, clusterDirectory, storesNothing };
}
