import {
  type DaemonConfig,
  type EffectiveOptions,
  type Health,
  healthOf,
  healthOutside,
  type HostStatus,
  type RosterStatus,
  version,
} from '../../api/index.ts';
import type { Wakefulness } from '../../base/index.ts';
import type { Disk } from '../../disk/index.ts';
import type { Membership } from '../../membership/index.ts';
import type { Overlay } from '../../overlay/index.ts';
import type { Repair } from '../../repair/index.ts';
import type { Catalogue } from '../volumes/catalogue.ts';
import type { Cluster } from './cluster.ts';
import type { Entry } from './entry.ts';
import { hostsSeen, placedMembers, whoIsMissing } from './hosts-seen.ts';
import type { Volumes } from '../volumes/volumes.ts';

/** What {@link HostReport} looks at; some of it is made later, with the report at hand. */
export interface HostReportContext {
  readonly config: DaemonConfig;
  readonly disk: Disk;
  readonly overlay: Overlay;
  readonly membership: Membership;
  readonly repair: Repair;
  readonly catalogue: Catalogue;
  readonly wakefulness: Wakefulness;
  readonly volumes: () => Volumes;
  readonly entry: () => Entry;
  readonly cluster: () => Cluster;
}

/** What a host says of itself, to people and to other hosts. */
export class HostReport {
  readonly #context: HostReportContext;
  readonly #started = performance.now();

  constructor(context: HostReportContext) {
    this.#context = context;
  }

  /** Copies wanted of each block: as the cluster's first host was told. */
  get replicas(): number {
    const { membership, config } = this.#context;
    return membership.isKnown ? membership.inForce().at(-1)!.replicas : config.replicas;
  }

  /** What volume options are where nothing is said, where that differs from the table. */
  get fallbacks(): Partial<EffectiveOptions> {
    return { replicas: String(this.replicas) };
  }

  health(): Health {
    const { disk, overlay, membership, entry, volumes } = this.#context;
    const why = entry().whyOutside();
    if (why !== undefined) return healthOutside(why);
    const { countedOut, troubles } = membership.status();
    return healthOf(disk.status(), hostsSeen(placedMembers(overlay, membership), countedOut, this.replicas), [
      ...(overlay.clusterId === undefined ? [] : troubles),
      ...volumes().waiting(),
    ]);
  }

  /** Which hosts do not answer, where that leaves blocks without a majority; undefined: it does not. */
  whoIsMissing(): string | undefined {
    const { overlay, membership, entry } = this.#context;
    // Outside of the cluster that is the reason, and said.
    if (entry().whyOutside() !== undefined) return undefined;
    return whoIsMissing(placedMembers(overlay, membership), membership.status().countedOut, this.replicas);
  }

  async status(): Promise<HostStatus> {
    const { config, disk, overlay, membership, repair, catalogue, wakefulness } = this.#context;
    const volumes = this.#context.volumes();
    const hosts = this.#context.cluster().hosts();
    const outside = this.#context.entry().whyOutside();
    const waiting = volumes.waiting();
    return {
      name: config.name,
      peer: overlay.self,
      version,
      health: this.health(),
      ...(outside === undefined ? {} : { outside }),
      uptimeSeconds: Math.floor((performance.now() - this.#started) / 1000),
      memoryBytes: process.memoryUsage.rss(),
      idleLatency: wakefulness.state,
      disk: disk.status(),
      replicas: { wanted: this.replicas, hosts: hosts.filter(({ self, state }) => self || state === 'up').length },
      volumes: (await catalogue.list()).length,
      mounted: volumes.mounted(),
      ...(waiting.length === 0 ? {} : { waiting }),
      hosts: hosts.length > 1 ? hosts : [],
      time: new Date().toISOString(),
      roster: rosterStatus(membership, overlay),
      repair: repair.status(),
    };
  }
}

function rosterStatus(membership: Membership, overlay: Overlay): RosterStatus {
  const { views, hosts, retiring, standing, countedOut, troubles } = membership.status();
  return { views, hosts, retiring, standing, countedOut: countedOut.map((peer) => overlay.member(peer)?.name ?? peer), troubles };
}
