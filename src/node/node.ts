import path from 'node:path';

import {
  type ClusterStatus,
  type DaemonConfig,
  type EffectiveOptions,
  type Health,
  healthOf,
  healthOutside,
  type HostStatus,
  makeDirectory,
  type Membership as VolumeMembership,
  type RosterStatus,
  version,
} from '../api/index.ts';
import { InfinitError, type Logger, systemClock, Wakefulness } from '../base/index.ts';
import { type Disk, LogDisk, offerPieceCrcs } from '../disk/index.ts';
import { clearStaleMounts, fastCrcs, type HolderClient } from '../fuse/index.ts';
import { Membership } from '../membership/index.ts';
import { hasPassport, Overlay } from '../overlay/index.ts';
import { Repair } from '../repair/index.ts';
import { awaitedKinds, Store } from '../store/index.ts';
import { BlockInspector } from './block-inspector.ts';
import { BlockWatches } from './block-watches.ts';
import { Catalogue } from './catalogue.ts';
import { Cluster } from './cluster.ts';
import { startControlApi } from './control-api.ts';
import { aloneWithoutStore, Entry, type EntryContext } from './entry.ts';
import { ExpectedNames } from './expected-names.ts';
import { hostsSeen, placedMembers, whoIsMissing } from './hosts-seen.ts';
import { nodeKinds } from './kinds.ts';
import { MeasuredStore } from './measured-store.ts';
import { serveMetrics } from './metrics-endpoint.ts';
import { Metrics } from './metrics.ts';
import { MountTable } from './mount-table.ts';
import { OverlayNeighbourhood } from './neighbourhood.ts';
import { ProgramBlocks } from './program-blocks.ts';
import { claimStore, nameStore } from './store-owner.ts';
import { Removals } from './removals.ts';
import { StoreSpace } from './store-space.ts';
import { Trash } from './trash.ts';
import { OrphanSweep } from './orphan-sweep.ts';
import { checkNow, type VolumeCheckContext } from './volume-check.ts';
import { VolumeServer } from './served-volume.ts';
import { Upkeep } from './upkeep.ts';
import { freshAddress, ViewPlacement } from './view-placement.ts';
import { Volumes } from './volumes.ts';
import { checkMayWrite } from './write-right.ts';

/** The catalogue's owner: the first host's before there is a cluster, then all hosts'. */
const catalogueOwner = 'infinit';

/** Where the disk says that this host gives its blocks away. */
const drainKey = 'draining';

/** Where the disk says which cluster its blocks belong to. */
function clusterMemory(disk: Disk): Pick<EntryContext, 'knownCluster' | 'rememberCluster'> {
  const key = 'cluster';
  return {
    knownCluster: async () => {
      const bytes = await disk.readMeta(key);
      return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
    },
    rememberCluster: (clusterId) => disk.write([{ type: 'put-meta', key, bytes: Buffer.from(clusterId) }]),
  };
}

/**
 * @throws InfinitError `unavailable` where another process runs with this host's identity, it was expelled, or it is alone and is to store nothing.
 */
function checkTakesPart(overlay: Overlay, storesNothing: boolean): void {
  if (overlay.halted !== undefined) throw new InfinitError('unavailable', `this host has stopped taking part: ${overlay.halted}`);
  if (storesNothing && overlay.clusterId === undefined) throw new InfinitError('unavailable', aloneWithoutStore);
}

function rosterStatus(membership: Membership, overlay: Overlay): RosterStatus {
  const { views, hosts, retiring, standing, countedOut, troubles } = membership.status();
  return { views, hosts, retiring, standing, countedOut: countedOut.map((peer) => overlay.member(peer)?.name ?? peer), troubles };
}

/** What a node consists of, from the bottom up. */
interface Parts {
  readonly disk: LogDisk;
  readonly overlay: Overlay;
  readonly store: Store;
  readonly membership: Membership;
  readonly measured: MeasuredStore;
  readonly repair: Repair;
  readonly upkeep: Upkeep;
  readonly catalogue: Catalogue;
  readonly volumes: Volumes;
  readonly trash: Trash;
  readonly check: VolumeCheckContext;
  readonly cluster: Cluster;
  readonly entry: Entry;
  readonly blocks: ProgramBlocks;
  readonly watches: BlockWatches;
  readonly wakefulness: Wakefulness;
}

/** One host, put together: disk, overlay, store, volumes, control API. The composition root: nothing else constructs these. */
export class Node implements AsyncDisposable {
  readonly #config: DaemonConfig;
  readonly #started = performance.now();
  #parts: Parts | undefined;
  #owned: AsyncDisposableStack | undefined;

  private constructor(config: DaemonConfig) {
    this.#config = config;
  }

  /** Everything up, and what was mounted before being served again in the background. @throws InfinitError `locked`, `wrong-version`, `disk-failed` … */
  static async open(config: DaemonConfig, holder: HolderClient, logger: Logger): Promise<Node> {
    await using stack = new AsyncDisposableStack();
    const node = new Node(config);
    const parts = await node.#compose(stack, holder, logger);
    node.#parts = parts;
    const metrics = stack.use(node.#measure(parts));
    if (config.metrics !== undefined) stack.use(await serveMetrics(config.metrics, () => metrics.text(), logger));
    const { volumes, cluster, trash, blocks, watches } = parts;
    const target = {
      volumes,
      cluster,
      trash,
      blocks,
      watches,
      repair: parts.upkeep,
      status: () => node.status(),
      metrics: () => metrics.text(),
      whoIsMissing: () => node.whoIsMissing(),
      check: (name: string, repair: boolean) => checkNow(parts.check, name, repair),
    };
    stack.use(await startControlApi(config.controlSocket, target, logger));
    // From here on the node owns what was opened; on any failure before, the stack closes it.
    node.#owned = stack.move();
    void volumes.recover();
    return node;
  }

  get volumes(): Volumes {
    return this.#parts!.volumes;
  }

  /** Whether this host is in its cluster. */
  get membership(): VolumeMembership {
    return this.#parts!.entry;
  }

  /** What volume options are where nothing is said, where that differs from the table. */
  get volumeFallbacks(): Partial<EffectiveOptions> {
    return this.#fallbacks(this.#parts!.membership);
  }

  /** True while this host belongs to a cluster and is connected with none of its members. */
  get isLonely(): boolean {
    return this.#parts!.overlay.isLonely;
  }

  /** Hosts on which members of the cluster may answer, at the port at which this one listens. */
  suggestPeers(hosts: readonly string[]): void {
    const { listen } = this.#config;
    if (listen !== undefined) this.#parts!.overlay.suggest(hosts, listen.port);
  }

  async #compose(stack: AsyncDisposableStack, holder: HolderClient, logger: Logger): Promise<Parts> {
    const config = this.#config;
    makeDirectory(config.stateDir, 0o700);
    const crcs = fastCrcs();
    if (crcs !== undefined) offerPieceCrcs(crcs);
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
    const rightsOf = (peer: string) => overlay.rightsOf(peer);
    const shared = { transport: overlay.transport, placement, rightsOf };
    const store = stack.use(await Store.open({ self, incarnation, disk, logger, cluster: shared }));
    membership.start(store);
    const removals = new Removals({ overlay, membership });
    const { scrubBytesPerSecond } = config;
    const settings = { bytesPerSecond: config.repairBytesPerSecond, scrubBytesPerSecond };
    const isExpelled = (peer: string): boolean => overlay.expelled().has(peer);
    const repair = stack.use(Repair.start({ store, transport: overlay.transport, views: membership, settings, isExpelled, logger }));
    const upkeep = new Upkeep({ repair, overlay, stateDir: config.stateDir, scrubBytesPerSecond, logger });
    const catalogue = await Catalogue.open(store, disk, catalogueOwner, logger);
    const table = await MountTable.open(disk);
    const runDir = path.join(path.dirname(config.controlSocket), 'dirty');
    const keyDir = path.join(config.stateDir, 'keys');
    const inCluster = () => (overlay.clusterId === undefined ? undefined : overlay.transport);
    const keepAwake = config.idleLatency === 'request';
    const wakefulness = stack.use(new Wakefulness({ logger, enabled: keepAwake }));
    overlay.transport.onServe((kind) => {
      if (awaitedKinds.has(kind) || kind === nodeKinds.volumeCall) wakefulness.touch();
    });
    const checkWrites = (): void => checkMayWrite(overlay);
    const measured = new MeasuredStore(store, () => wakefulness.touch(), checkWrites);
    const space = stack.use(new StoreSpace(disk, overlay, () => this.#replicas(membership)));
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
      logger,
    });
    makeDirectory(config.mountDir);
    await clearStaleMounts(config.mountDir, new Set(holder.inherited().map((mount) => mount.connection)), logger);
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
        cluster: inCluster,
        checkWrites,
        onCatalogueChange: () => cluster.announceCatalogue(),
        logger,
      }),
    );
    const volumes: Volumes = stack.use(
      new Volumes({
        hostName: config.name,
        mountDir: config.mountDir,
        keyDir,
        store,
        catalogue,
        table,
        server,
        fallbacks: () => this.#fallbacks(membership),
        health: () => this.#health(),
        whyOutside: () => entry.whyOutside(),
        checkWrites,
        mountedElsewhere: (id, deadlineMs) => cluster.mountedElsewhere(id, deadlineMs),
        usedElsewhere: (id) => cluster.usedElsewhere(id),
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
          mounted: () => volumes.mounted(),
          ownVolume: async () => (await catalogue.list())[0]?.name,
          ownTrash: async () => (await trash.list()).flatMap(({ name, state }) => (state === 'deleting' ? [] : [name])),
          holdsBlocks: () => disk.status().blocks > 0,
          forgetEverything: async () => {
            await store.forgetEverything();
            await catalogue.startOver();
          },
          ...clusterMemory(disk),
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
        status: () => this.status(),
        drain: (on) => disk.write([on ? { type: 'put-meta', key: drainKey, bytes: Buffer.from('1') } : { type: 'delete-meta', key: drainKey }]),
        logger,
      }),
    );
    await entry.enter();
    trash.look();
    const mayStore = (peer: string): boolean => rightsOf(peer).includes('store');
    const sweep = stack.use(new OrphanSweep({ disk, store, catalogue, volumes, mayStore, cluster: inCluster, logger }, overlay.transport));
    const check = { catalogue, volumes, sweep, store, checkWrites, keyDir, usedElsewhere: (id: string) => cluster.usedElsewhere(id), logger };
    const inspector = new BlockInspector(
      store,
      () => this.#replicas(membership),
      (peer) => overlay.member(peer)?.name ?? peer,
    );
    const blocks = new ProgramBlocks(
      measured,
      (address, limits) => inspector.report(address, limits),
      () => freshAddress(self, membership, space),
    );
    const watches = stack.use(new BlockWatches(blocks, (address, listener) => store.watch(address, listener)));
    return {
      disk,
      overlay,
      membership,
      store,
      measured,
      repair,
      upkeep,
      catalogue,
      volumes,
      trash,
      check,
      cluster,
      entry,
      blocks,
      watches,
      wakefulness,
    };
  }

  #fallbacks(membership: Membership): Partial<EffectiveOptions> {
    return { replicas: String(this.#replicas(membership)) };
  }

  /** Copies wanted of each block: as the cluster's first host was told. */
  #replicas(membership: Membership): number {
    return membership.isKnown ? membership.inForce().at(-1)!.replicas : this.#config.replicas;
  }

  #health(): Health {
    const { disk, overlay, membership, entry, volumes } = this.#parts!;
    const why = entry.whyOutside();
    if (why !== undefined) return healthOutside(why);
    const { countedOut, troubles } = membership.status();
    return healthOf(disk.status(), hostsSeen(placedMembers(overlay, membership), countedOut, this.#replicas(membership)), [
      ...(overlay.clusterId === undefined ? [] : troubles),
      ...volumes.waiting(),
    ]);
  }

  /** Which hosts do not answer, where that leaves blocks without a majority; undefined: it does not. */
  whoIsMissing(): string | undefined {
    const { overlay, membership, entry } = this.#parts!;
    // Outside of the cluster that is the reason, and said.
    if (entry.whyOutside() !== undefined) return undefined;
    return whoIsMissing(placedMembers(overlay, membership), membership.status().countedOut, this.#replicas(membership));
  }

  #measure({ disk, overlay, store, measured, volumes, blocks, watches }: Parts): Metrics {
    return new Metrics({
      status: () => this.status(),
      store: measured,
      programs: blocks,
      disk: disk.meter,
      consensus: () => store.meter,
      traffic: () => overlay.transport.traffic(),
      peers: () => overlay.members().flatMap(({ self, liveness }) => (self ? [] : [liveness])),
      watched: () => watches.size,
      usages: () => volumes.mounted().flatMap((name) => volumes.served(name)?.usage() ?? []),
    });
  }

  async status(): Promise<HostStatus> {
    const { disk, overlay, membership, repair, catalogue, volumes, cluster, entry, wakefulness } = this.#parts!;
    const hosts = cluster.hosts();
    const outside = entry.whyOutside();
    const waiting = volumes.waiting();
    return {
      name: this.#config.name,
      peer: overlay.self,
      version,
      health: this.#health(),
      ...(outside === undefined ? {} : { outside }),
      uptimeSeconds: Math.floor((performance.now() - this.#started) / 1000),
      memoryBytes: process.memoryUsage.rss(),
      idleLatency: wakefulness.state,
      disk: disk.status(),
      replicas: { wanted: this.#replicas(membership), hosts: hosts.filter(({ self, state }) => self || state === 'alive').length },
      volumes: (await catalogue.list()).length,
      mounted: volumes.mounted(),
      ...(waiting.length === 0 ? {} : { waiting }),
      hosts: hosts.length > 1 ? hosts : [],
      time: new Date().toISOString(),
      roster: rosterStatus(membership, overlay),
      repair: repair.status(),
    };
  }

  clusterStatus(): Promise<ClusterStatus> {
    return this.#parts!.cluster.status();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned?.disposeAsync();
  }
}
