import { randomBytes } from 'node:crypto';

import { InfinitError, type Logger } from '../../base/index.ts';
import { type BLinkTree, type Change, ifAbsent } from '../../tree/index.ts';
import type { CatalogueCopy } from './catalogue-copy.ts';
import { type CatalogueEntry, readEntry } from './catalogue-entry.ts';
import { encode, listKey, liveKey, trashPrefix } from './catalogue-keys.ts';

/** What a list that does not exist yet begins with. */
export async function founding(tree: BLinkTree): Promise<[string, Change][]> {
  return (await tree.exists()) ? [] : [newList()];
}

/**
 * The root of the list of volumes is never removed: where a host knows of volumes and there is none, all hosts that had it are lost, and a person accepted that. Each host that is left gives the
 * list that takes its place what its copy has, before it believes that anything is not there; what that list has, or says to be removed, stays as it is.
 * Returns which list there is now, as {@link CatalogueCopy.list}.
 * @param listed Ids of the volumes that the tree says anything of. @param isOurs The copy is of the cluster whose list the tree is: one of a host that was alone says nothing of that.
 * @throws InfinitError; `unavailable` where it is not.
 */
export async function putBack(
  tree: BLinkTree,
  copy: CatalogueCopy,
  listed: () => Promise<ReadonlySet<string>>,
  isOurs: () => boolean,
  logger: Logger,
): Promise<string | undefined> {
  const list = await listOf(tree);
  const first = list === undefined ? await founding(tree) : [];
  if (list === copy.list && first.length === 0) return list;
  // A host that has just joined knows of none, nor need there be a list yet.
  if (copy.entries.length + copy.trashed.length === 0) return list;
  const there = first.length > 0 ? new Set<string>() : await listed();
  const lost = [
    ...copy.entries.map((entry) => ({ key: liveKey(entry.name), entry })),
    ...copy.trashed.map((entry) => ({ key: trashPrefix + entry.id, entry: removedAnew(entry) })),
  ].filter(({ entry }) => !there.has(entry.id));
  if (!isOurs()) throw new InfinitError('unavailable', 'this host enters a cluster, and does not know its list of volumes yet');
  const begin = list === undefined && first.length === 0 ? [newList()] : first;
  const changes = lost.map(({ key, entry }): [string, Change] => [key, { value: encode(entry), condition: ifAbsent }]);
  const { failed, refused } = await tree.apply(new Map([...begin, ...changes]));
  for (const failure of failed.values()) throw failure;
  const back = lost.filter(({ key }) => !refused.has(key)).map(({ entry }) => entry.name);
  if (back.length > 0)
    logger.warn('the list of volumes was lost with all its hosts: what this host knew of it is put back', {
      volumes: back.length,
      names: back.join(', '),
    });
  for (const { key, entry } of lost) {
    const other = refused.get(key);
    if (other === undefined || readEntry(other).id === entry.id) continue;
    logger.error('a volume is not in the list of volumes any more: another has its name there', { volume: entry.name, id: entry.id });
  }
  return listOf(tree);
}

/** Others may have brought it back since this host knew of it: they have as long as for one that was just removed to do so once more. One that was being deleted nobody could bring back. */
function removedAnew(entry: CatalogueEntry): CatalogueEntry {
  return entry.purging === true ? entry : { ...entry, trashedAt: new Date().toISOString() };
}

function newList(): [string, Change] {
  return [listKey, { value: randomBytes(16), condition: ifAbsent }];
}

async function listOf(tree: BLinkTree): Promise<string | undefined> {
  const value = await tree.get(listKey);
  return value === undefined ? undefined : Buffer.from(value).toString('hex');
}
