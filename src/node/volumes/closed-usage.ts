import { typedOptions, type VolumeUsage } from '../../api/index.ts';
import { systemClock } from '../../base/index.ts';
import { Sealer } from '../../block/index.ts';
import { storedUsage } from '../../filesystem/index.ts';
import type { CatalogueEntry } from './catalogue-entry.ts';
import { volumeKey } from './volume-key.ts';
import type { VolumesContext } from './volumes-context.ts';

/** What a volume takes that is not mounted here, as of its last mount's last word, which for one mounted on another host is a moment ago. */
export async function closedUsage(
  { keyDir, store, logger }: Pick<VolumesContext, 'keyDir' | 'store' | 'logger'>,
  { name, id, options }: CatalogueEntry,
): Promise<VolumeUsage> {
  const { encrypted, sizeBytes } = typedOptions(options);
  const sealer = new Sealer(encrypted ? volumeKey(keyDir, { name, id }) : undefined);
  const stored = await storedUsage({ store, sealer, volumeId: id, session: 0, clock: systemClock, logger });
  return { name, usedBytes: stored?.allocated ?? 0, sizeBytes, inodes: stored?.files ?? 0 };
}
