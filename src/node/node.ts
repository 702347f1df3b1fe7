import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { type DaemonConfig, type Health, healthOf, type HostStatus, version, type VolumeUsage } from '../api/index.ts';
import { InfinitError, type Logger } from '../base/index.ts';
import { type Disk, LogDisk } from '../disk/index.ts';
import type { HolderClient } from '../fuse/index.ts';
import { clearStaleMounts } from '../fuse/index.ts';
import { Store } from '../store/index.ts';
import { Catalogue } from './catalogue.ts';
import { startControlApi } from './control-api.ts';
import { hostPeerId } from './host-key.ts';
import { nextIncarnation } from './incarnation.ts';
import { Metrics } from './metrics.ts';
import { MountTable } from './mount-table.ts';
import { VolumeServer } from './served-volume.ts';
import { Volumes } from './volumes.ts';

/** One host, put together: disk, store, volumes, control API. The composition root: nothing else constructs these. */
export class Node implements AsyncDisposable {
  readonly volumes: Volumes;
  readonly #config: DaemonConfig;
  readonly #peer: string;
  readonly #disk: Disk;
  readonly #catalogue: Catalogue;
  #owned: AsyncDisposableStack | undefined;
  readonly #started = performance.now();

  private constructor(config: DaemonConfig, peer: string, disk: Disk, catalogue: Catalogue, volumes: (node: Node) => Volumes) {
    this.#config = config;
    this.#peer = peer;
    this.#disk = disk;
    this.#catalogue = catalogue;
    this.volumes = volumes(this);
  }

  /** Everything up, and what was mounted before being served again in the background. @throws InfinitError `locked`, `wrong-version`, `disk-failed` … */
  static async open(config: DaemonConfig, holder: HolderClient, logger: Logger): Promise<Node> {
    await using stack = new AsyncDisposableStack();
    mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
    const disk = stack.use(
      await LogDisk.open(path.join(config.stateDir, 'store'), { logger, ...(config.capacity === undefined ? {} : { capacity: config.capacity }) }),
    );
    const peer = hostPeerId(config.stateDir);
    const incarnation = await nextIncarnation(disk);
    const store = stack.use(Store.open({ self: peer, incarnation, disk, logger }));
    const catalogue = await Catalogue.open(store, disk, 'infinit');
    const table = await MountTable.open(disk);
    const runDir = path.dirname(config.controlSocket);
    const keyDir = path.join(config.stateDir, 'keys');
    const server = new VolumeServer({ store, holder, runDir: path.join(runDir, 'dirty'), keyDir, logLevel: config.logLevel, logger });
    const served = new Set(holder.inherited().map((mount) => mount.connection));
    mkdirSync(config.mountDir, { recursive: true });
    await clearStaleMounts(config.mountDir, served, logger);
    const makeVolumes = (node: Node): Volumes =>
      stack.use(
        new Volumes({
          hostName: config.name,
          mountDir: config.mountDir,
          keyDir,
          catalogue,
          table,
          server,
          fallbacks: { replicas: String(config.replicas) as '3' },
          health: () => node.#health(),
          logger,
        }),
      );
    const node = new Node(config, peer, disk, catalogue, makeVolumes);
    const metrics = new Metrics(() => node.status());
    const target = { volumes: node.volumes, status: () => node.status(), usage: (name: string) => node.#usage(name), metrics: () => metrics.text() };
    stack.use(await startControlApi(config.controlSocket, target, logger));
    // From here on the node owns what was opened; on any failure before, the stack closes it.
    node.#owned = stack.move();
    void node.volumes.recover();
    return node;
  }

  #health(): Health {
    return healthOf(this.#disk.status(), this.#config.replicas, 1);
  }

  async status(): Promise<HostStatus> {
    const disk = this.#disk.status();
    return {
      name: this.#config.name,
      peer: this.#peer,
      version,
      health: this.#health(),
      uptimeSeconds: Math.floor((performance.now() - this.#started) / 1000),
      memoryBytes: process.memoryUsage.rss(),
      disk,
      replicas: { wanted: this.#config.replicas, hosts: 1 },
      volumes: (await this.#catalogue.list()).length,
      mounted: this.volumes.mounted(),
      hosts: [],
    };
  }

  async #usage(name: string): Promise<VolumeUsage> {
    const served = this.volumes.served(name);
    if (served !== undefined) return served.usage();
    if ((await this.volumes.inspect(name)) === undefined) throw new InfinitError('not-found', `there is no volume "${name}"`);
    throw new InfinitError('unavailable', `volume "${name}" is not mounted on this host: mount it to see what it takes`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned?.disposeAsync();
  }
}
