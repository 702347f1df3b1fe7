import { silentLogger, systemClock } from '../../src/base/index.ts';
import { VolumeSharing } from '../../src/node/sharing/volume-sharing.ts';
import type { Transport } from '../../src/overlay/index.ts';
import { volumeId } from '../filesystem/harness.ts';
import type { MemoryBlockStore } from '../suites/memory-block-store.ts';

type Settings = ConstructorParameters<typeof VolumeSharing>[0];

/** The main thread's part of a volume `data` that other hosts may have mounted as well. */
export function sharingOf(transport: Transport, store: MemoryBlockStore, send: Settings['send'], others: Partial<Settings> = {}): VolumeSharing {
  return new VolumeSharing({
    volumeId,
    name: 'data',
    store,
    transport,
    clock: systemClock,
    logger: silentLogger,
    send,
    exclusive: false,
    hostName: String,
    lostFor: () => new Map(),
    isDeleted: () => Promise.resolve(false),
    onDeleted: () => {},
    ...others,
  });
}
