import { InfinitError } from '../../base/index.ts';

/** A size below what the volume takes: nothing could be written any more, and nobody would be told why. @throws InfinitError `bad-argument` */
export async function refuseTooSmall(
  name: string,
  size: { wanted: number; now: number },
  usage: () => Promise<{ usedBytes: number }>,
): Promise<void> {
  // 0: none. A larger one is never refused, also where the volume holds more than that already.
  if (size.wanted === 0 || (size.now !== 0 && size.wanted >= size.now)) return;
  const { usedBytes } = await usage();
  if (usedBytes <= size.wanted) return;
  throw new InfinitError('bad-argument', `volume "${name}" holds ${usedBytes} bytes: its size cannot become ${size.wanted} bytes`);
}
