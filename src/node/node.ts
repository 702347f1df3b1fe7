import type { DaemonConfig, EffectiveOptions, Membership } from '../api/index.ts';
import type { Logger } from '../base/index.ts';
import type { HolderClient } from '../fuse/index.ts';
import { compose, type Parts } from './composition.ts';
import { startControlApi } from './control/control-api.ts';
import { serveMetrics } from './control/metrics-endpoint.ts';
import { Metrics } from './control/metrics.ts';
import { checkNow } from './volumes/volume-check.ts';
import type { Volumes } from './volumes/volumes.ts';

/** One host: its parts, and the control API and metrics by which people and programs reach them. */
export class Node implements AsyncDisposable {
  readonly #config: DaemonConfig;
  readonly #parts: Parts;
  readonly #owned: AsyncDisposableStack;

  private constructor(config: DaemonConfig, parts: Parts, owned: AsyncDisposableStack) {
    this.#config = config;
    this.#parts = parts;
    this.#owned = owned;
  }

  /** Everything up, and what was mounted before being served again in the background. @throws InfinitError `locked`, `wrong-version`, `disk-failed` … */
  static async open(config: DaemonConfig, holder: HolderClient, logger: Logger): Promise<Node> {
    await using stack = new AsyncDisposableStack();
    const parts = await compose(config, stack, holder, logger);
    const { host, volumes, cluster, trash, blocks, watches } = parts;
    const metrics = stack.use(measure(parts));
    if (config.metrics !== undefined) stack.use(await serveMetrics(config.metrics, () => metrics.text(), logger));
    const target = {
      volumes,
      cluster,
      trash,
      blocks,
      watches,
      repair: parts.upkeep,
      status: () => host.status(),
      metrics: () => metrics.text(),
      whoIsMissing: () => host.whoIsMissing(),
      check: (name: string, repair: boolean) => checkNow(parts.check, name, repair),
    };
    stack.use(await startControlApi(config.controlSocket, target, logger));
    void volumes.recover();
    // From here on the node owns what was opened; on any failure before, the stack closes it.
    return new Node(config, parts, stack.move());
  }

  get volumes(): Volumes {
    return this.#parts.volumes;
  }

  /** Whether this host is in its cluster. */
  get membership(): Membership {
    return this.#parts.entry;
  }

  /** What volume options are where nothing is said, where that differs from the table. */
  get volumeFallbacks(): Partial<EffectiveOptions> {
    return this.#parts.host.fallbacks;
  }

  /** Which hosts do not answer, where that leaves blocks without a majority; undefined: it does not. */
  whoIsMissing(): string | undefined {
    return this.#parts.host.whoIsMissing();
  }

  /** True while this host belongs to a cluster and is connected with none of its members. */
  get isLonely(): boolean {
    return this.#parts.overlay.isLonely;
  }

  /** Hosts on which members of the cluster may answer, at the port at which this one listens. */
  suggestPeers(hosts: readonly string[]): void {
    const { listen } = this.#config;
    if (listen !== undefined) this.#parts.overlay.suggest(hosts, listen.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

function measure({ host, disk, overlay, store, measured, volumes, blocks, watches }: Parts): Metrics {
  return new Metrics({
    status: () => host.status(),
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
