import { InfinitError, programPatienceMs } from '../../base/index.ts';
import { FileSystemError, type KernelRequest } from '../file-system.ts';
import { decodeAnswer, encodeCall, Forgotten } from './calls.ts';
import type { HolderLink } from './holder-link.ts';
import { pause, retryMs } from './repeating.ts';

/**
 * What an append came to that a process before this one asked of the host that serves the volume, and which the kernel asks for again: that host remembers it, and makes none that it does not. undefined:
 * it knows of none.
 */
export async function askedBefore(holder: HolderLink, inode: number, { asker, number }: KernelRequest): Promise<number | undefined> {
  const call = encodeCall('append', [inode, 0, new Uint8Array(0), false], { asker, number, again: true, memory: '' });
  for (const deadline = performance.now() + programPatienceMs; performance.now() < deadline;) {
    await holder.ready();
    await holder.relocked();
    const { backing } = holder;
    if (backing?.kind === 'local') return undefined;
    try {
      if (backing !== undefined) return decodeAnswer(await backing.ask(call)).value as number;
    } catch (error) {
      if (error instanceof Forgotten) return undefined;
      if (error instanceof FileSystemError) throw error;
      await pause(retryMs);
    }
  }
  throw new InfinitError('unavailable', 'the host that serves the volume does not say what an append came to');
}
