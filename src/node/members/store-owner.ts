import { InfinitError } from '../../base/index.ts';
import type { Disk } from '../../disk/index.ts';
import { newPassport } from '../../overlay/index.ts';

/** Where the disk keeps whose it is; empty: of whoever is just starting on it for the first time. */
const ownerKey = 'host';
/** Where the disk says which cluster its blocks belong to. */
const clusterKey = 'cluster';

/**
 * Holds that a host's identity and what it stored stay together. Under the same identity a disk that is empty, or another host's, would have an
 * acceptor that forgot what it promised (docs/consensus.md, “What is promised”). Comes before the host speaks to anybody.
 * @param wasMember It has belonged to a cluster before this start.
 * @throws InfinitError `damaged` with what to do.
 */
export async function claimStore(disk: Disk, wasMember: boolean): Promise<void> {
  if ((await disk.readMeta(ownerKey)) !== undefined) return;
  if (wasMember) {
    const remedy = 'expel this host with `infinit node rm` on another one, remove its state directory, and let it join as a new host';
    throw new InfinitError('damaged', `the store of this host is gone, and with it what it promised to its cluster: ${remedy}`);
  }
  await setOwner(disk, '');
}

/** The same once this host's id is known. @throws InfinitError `damaged`. */
export async function nameStore(disk: Disk, self: string): Promise<void> {
  const owner = Buffer.from((await disk.readMeta(ownerKey)) ?? []).toString('utf8');
  if (owner === '') await setOwner(disk, self);
  else if (owner !== self)
    throw new InfinitError('damaged', `the store is that of host ${owner}, and the keys are those of host ${self}: both belong together`);
}

/** The cluster that the blocks on the disk belong to; undefined: none. */
export async function clusterOf(disk: Disk): Promise<string | undefined> {
  const bytes = await disk.readMeta(clusterKey);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
}

export function rememberCluster(disk: Disk, clusterId: string): Promise<void> {
  return disk.write([{ type: 'put-meta', key: clusterKey, bytes: Buffer.from(clusterId) }]);
}

/**
 * Holds that a member does not take itself for a host that is alone.
 * @param clusterId By its passport; undefined: it has none.
 * @throws InfinitError `damaged` with what to do.
 */
export async function checkPassport(disk: Disk, clusterId: string | undefined): Promise<void> {
  const known = clusterId === undefined ? await clusterOf(disk) : undefined;
  if (known !== undefined)
    throw new InfinitError('damaged', `this host belongs to cluster ${known}, and its passport (cluster/passport) is gone: ${newPassport}`);
}

function setOwner(disk: Disk, owner: string): Promise<void> {
  return disk.write([{ type: 'put-meta', key: ownerKey, bytes: Buffer.from(owner) }]);
}
