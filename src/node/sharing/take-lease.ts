import { InfinitError } from '../../base/index.ts';
import type { Transport } from '../../overlay/index.ts';
import { VolumeLease, type VolumeLeaseOptions } from './volume-lease.ts';

/**
 * The right to write a volume that nobody has mounted. undefined: this host is alone. Where the last holder died this takes until its lease is over.
 * @throws InfinitError `in-use` where another has it.
 */
export async function takeLease(
  transport: Transport | undefined,
  options: Omit<VolumeLeaseOptions, 'isConnected' | 'onChange'>,
  signal?: AbortSignal,
): Promise<VolumeLease | undefined> {
  if (transport === undefined) return undefined;
  const lease = new VolumeLease({ ...options, isConnected: (peer) => transport.isConnected(peer), onChange: () => {} });
  if (await lease.startForNow(signal)) return lease;
  await lease[Symbol.asyncDispose]();
  throw new InfinitError('in-use', 'another host holds its lease');
}
