import type { EffectiveOptions, Health } from '../../api/index.ts';
import type { Logger } from '../../base/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { Catalogue } from './catalogue.ts';
import type { MountTable } from '../mounts/mount-table.ts';
import type { VolumeServer } from './volume-server.ts';

/** What `Volumes` needs of the rest of the host. */
export interface VolumesContext {
  readonly hostName: string;
  readonly mountDir: string;
  readonly keyDir: string;
  readonly store: BlockStore;
  readonly catalogue: Catalogue;
  readonly table: MountTable;
  readonly server: VolumeServer;
  readonly fallbacks: () => Partial<EffectiveOptions>;
  readonly health: () => Health;
  /** Why this host is no member of its cluster; undefined: it is one, or alone by choice. */
  readonly whyOutside: () => string | undefined;
  /** @throws InfinitError `denied` where this host may not write. */
  readonly checkWrites: () => void;
  /** Hosts other than this one that say they have the volume mounted: to be shown. */
  readonly mountedElsewhere: (volumeId: string, deadlineMs: number) => Promise<readonly string[]>;
  /** Hosts other than this one that have the volume mounted, or that serve those who have: where nothing may be done meanwhile. */
  readonly usedElsewhere: (volumeId: string) => Promise<readonly string[]>;
  /** What a volume's removal is dated with, in ms, by the wall clocks of all hosts in reach: from then on its days in the trash are counted. */
  readonly removalTimeMs: () => Promise<number>;
  /** Which other hosts have which volumes mounted: names by volume id. */
  readonly mounts: (deadlineMs: number) => Promise<ReadonlyMap<string, readonly string[]>>;
  /** A volume came or went. */
  readonly onCatalogueChange: () => void;
  readonly logger: Logger;
}
