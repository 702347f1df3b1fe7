import path from 'node:path';

import type { DaemonConfig } from '../api/index.ts';
import { type Logger, systemClock, Wakefulness } from '../base/index.ts';
import type { LogDisk } from '../disk/index.ts';
import { clearStaleMounts, type HolderClient } from '../fuse/index.ts';
import type { Membership } from '../membership/index.ts';
import type { Overlay } from '../overlay/index.ts';
import { awaitedKinds, type Store } from '../store/index.ts';
import { composeBlocks, drainKey } from './block-parts.ts';
import { BlockInspector } from './blocks/block-inspector.ts';
import { BlockWatches } from './blocks/block-watches.ts';
import { Catalogue } from './volumes/catalogue.ts';
import { Cluster } from './members/cluster.ts';
import { sayDeadMounts } from './mounts/dead-mounts.ts';
import { Entry } from './members/entry.ts';
import { ExpectedNames } from './volumes/expected-names.ts';
import { HostReport } from './members/host-report.ts';
import { nodeKinds } from './kinds.ts';
import { MeasuredStore } from './measured-store.ts';
import { MembersStore, refuseOutside } from './members/membership-right.ts';
import { makeMountDirectory } from './mounts/mount-directory.ts';
import { MountTable } from './mounts/mount-table.ts';
import { inodesHere } from './volumes/inodes-here.ts';
import { OrphanSweep } from './volumes/orphan-sweep.ts';
import { ProgramBlocks } from './blocks/program-blocks.ts';
import { VolumeServer } from './volumes/volume-server.ts';
import { Removals } from './members/removals.ts';
import { StoreSpace } from './store-space.ts';
import { Trash } from './volumes/trash.ts';
import { Upkeep } from './control/upkeep.ts';
import { clusterOf, rememberCluster } from './members/store-owner.ts';
import { freshAddress } from './members/view-placement.ts';
import type { VolumeCheckContext } from './volumes/volume-check.ts';
import { Volumes } from './volumes/volumes.ts';
import { checkMayWrite } from './members/write-right.ts';

/** The catalogue's owner: the first host's before there is a cluster, then all hosts'. */
const catalogueOwner = 'infinit';

/** What a node consists of. */
export interface Parts {
  /** What it says of itself. */
  readonly host: HostReport;
  readonly disk: LogDisk;
  readonly overlay: Overlay;
  readonly membership: Membership;
  readonly store: Store;
  readonly measured: MeasuredStore;
  readonly upkeep: Upkeep;
  readonly volumes: Volumes;
  readonly trash: Trash;
  readonly check: VolumeCheckContext;
  readonly cluster: Cluster;
  readonly entry: Entry;
  readonly blocks: ProgramBlocks;
  readonly watches: BlockWatches;
}

/** Puts a node together, from the bottom up; `stack` owns what was opened. The composition root: nothing else constructs these. */
export async function compose(config: DaemonConfig, stack: AsyncDisposableStack, holder: HolderClient, logger: Logger): Promise<Parts> {
  const { disk, overlay, membership, store, repair, clusterDirectory, storesNothing } = await composeBlocks(config, stack, logger);
  const { self } = overlay;
  const removals = new Removals({ overlay, membership });
  const upkeep = new Upkeep({ repair, membership, overlay, stateDir: config.stateDir, scrubBytesPerSecond: config.scrubBytesPerSecond, logger });
  const catalogue = await Catalogue.open(store, disk, catalogueOwner, logger, () => entry.whyOutside() === undefined);
  const table = await MountTable.open(disk);
  const runDir = path.join(path.dirname(config.controlSocket), 'dirty');
  const keyDir = path.join(config.stateDir, 'keys');
  const inCluster = () => (overlay.clusterId === undefined ? undefined : overlay.transport);
  const keepAwake = config.idleLatency === 'request';
  const wakefulness = stack.use(new Wakefulness({ logger, enabled: keepAwake }));
  overlay.transport.onServe((kind) => {
    if (awaitedKinds.has(kind) || kind === nodeKinds.volumeCall) wakefulness.touch();
  });
  const host = new HostReport({
    config,
    disk,
    overlay,
    membership,
    repair,
    catalogue,
    wakefulness,
    volumes: () => volumes,
    entry: () => entry,
    cluster: () => cluster,
  });
  const checkWrites = (): void => checkMayWrite(overlay);
  const checkMember = (): void => refuseOutside(overlay.halted);
  const measured = new MeasuredStore(store, () => wakefulness.touch(), checkWrites);
  const space = stack.use(new StoreSpace(disk, overlay, () => host.replicas));
  const server = new VolumeServer({
    store: measured,
    cluster: inCluster,
    self,
    hostName: (peer) => overlay.member(peer)?.name ?? peer,
    lostFor: () => overlay.lostFor(),
    clock: systemClock,
    holder,
    runDir,
    keyDir,
    freeBytes: space.freeBytes,
    logLevel: config.logLevel,
    keepAwake,
    isDeleted: (id) => catalogue.isDeleted(id),
    logger,
  });
  const mountDir = makeMountDirectory(config.mountDir, logger);
  await sayDeadMounts(await clearStaleMounts(mountDir, new Set(holder.inherited().map((mount) => mount.connection))), logger);
  const onCatalogueChange = (): void => {
    cluster.announceCatalogue();
    trash.look();
  };
  const trash: Trash = stack.use(
    new Trash({
      catalogue,
      store,
      keyDir,
      self,
      clock: systemClock,
      sharedTimeMs: () => cluster.sharedTimeMs(),
      cluster: inCluster,
      checkMember,
      checkWrites,
      onCatalogueChange: () => cluster.announceCatalogue(),
      mayBeInUse: (id) => volumes.mayBeInUse(id),
      logger,
    }),
  );
  const volumes: Volumes = stack.use(
    new Volumes({
      hostName: config.name,
      mountDir,
      keyDir,
      store,
      catalogue,
      table,
      server,
      fallbacks: () => host.fallbacks,
      health: () => host.health(),
      whyOutside: () => entry.whyOutside(),
      checkWrites,
      mountedElsewhere: (id, deadlineMs) => cluster.mountedElsewhere(id, deadlineMs),
      usedElsewhere: (id) => cluster.usedElsewhere(id),
      removalTimeMs: () => cluster.sharedTimeMs('later'),
      mounts: (deadlineMs) => cluster.mounts(deadlineMs),
      onCatalogueChange,
      logger,
    }),
  );
  const entry = stack.use(
    new Entry(
      {
        overlay,
        membership,
        removals,
        storesNothing,
        mounted: () => volumes.busy(),
        standstill: (job) => volumes.standstill(job),
        ownVolume: async () => (await catalogue.list())[0]?.name ?? volumes.making()[0],
        ownTrash: async () => (await trash.list()).flatMap(({ name, state }) => (state === 'deleting' ? [] : [name])),
        holdsBlocks: () => disk.status().blocks > 0,
        forgetEverything: async () => {
          await store.forgetEverything();
          await catalogue.startOver();
        },
        knownCluster: () => clusterOf(disk),
        rememberCluster: (clusterId) => rememberCluster(disk, clusterId),
        keyFile: path.join(clusterDirectory, 'cluster.key'),
        onEntered: () => cluster.refreshCatalogue(),
        logger,
      },
      await ExpectedNames.open(disk),
    ),
  );
  const cluster: Cluster = stack.use(
    new Cluster({
      overlay,
      membership,
      store,
      catalogue,
      volumes,
      entry,
      removals,
      onCatalogueNews: () => trash.look(),
      status: () => host.status(),
      drain: (on) => disk.write([on ? { type: 'put-meta', key: drainKey, bytes: Buffer.from('1') } : { type: 'delete-meta', key: drainKey }]),
      logger,
    }),
  );
  await entry.enter();
  trash.look();
  const mayStore = (peer: string): boolean => overlay.rightsOf(peer).includes('store');
  const sweep = stack.use(new OrphanSweep({ disk, store, catalogue, volumes, mayStore, cluster: inCluster, logger }, overlay.transport));
  const check = {
    catalogue,
    volumes,
    sweep,
    store,
    checkWrites,
    checkMember,
    keyDir,
    usedElsewhere: (id: string) => cluster.usedElsewhere(id),
    hostName: config.name,
    leaseHolder: (id: string) => cluster.leaseHolder(id),
    cluster: inCluster,
    self,
    clock: systemClock,
    mayBeInUse: (id: string) => volumes.mayBeInUse(id),
    unacceptedLoss: () => membership.unaccepted,
    inodesHere: (id: string) => inodesHere(store.housekeeping, id),
    audit: (line: object) => upkeep.audit(line),
    logger,
  };
  const inspector = new BlockInspector(
    store,
    () => host.replicas,
    (peer) => overlay.member(peer)?.name ?? peer,
  );
  const blocks = new ProgramBlocks(
    new MembersStore(measured, checkMember),
    async (address, limits) => {
      checkMember();
      return inspector.report(address, limits);
    },
    () => freshAddress(self, membership, space),
  );
  const watches = stack.use(new BlockWatches(blocks, (address, listener) => store.watch(address, listener)));
  return { host, disk, overlay, membership, store, measured, upkeep, volumes, trash, check, cluster, entry, blocks, watches };
}
