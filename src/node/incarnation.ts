import type { Disk } from '../disk/index.ts';

const incarnationKey = 'incarnation';

/** Raises this host's incarnation, durably: ballots of an earlier start of the daemon are never used again. */
export async function nextIncarnation(disk: Disk): Promise<number> {
  const bytes = await disk.readMeta(incarnationKey);
  const incarnation = bytes === undefined ? 1 : Number(Buffer.from(bytes).toString('utf8')) + 1;
  await disk.write([{ type: 'put-meta', key: incarnationKey, bytes: Buffer.from(String(incarnation)) }]);
  return incarnation;
}
