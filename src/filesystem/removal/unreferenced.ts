import type { Address } from '../../block/index.ts';
import { ownerOf } from '../../block/index.ts';
import type { VolumeCore } from '../core.ts';
import type { Inode } from '../inodes/inode.ts';

/** An immutable block that a host holds, as its owner tag says. */
export interface OwnedBlock {
  readonly address: Address;
  readonly inode: number;
  /** Session of the writer. */
  readonly session: number;
}

/**
 * Which of these blocks nothing refers to, now or ever again: docs/decisions/orphan-blocks.md has the argument. Two facts carry it.
 * A session refers only to blocks that it sealed itself or found in a durable record, so a block of an earlier session that no record
 * names stays unnamed by all later ones. And a write of an earlier session that is still on its way is a compare-and-set that
 * expects the version which it knew: before a block is condemned, this session writes the inode's record, so that it must fail.
 * @throws InfinitError where the store does not answer; then nothing is known.
 */
export async function unreferencedBlocks(core: VolumeCore, blocks: Iterable<OwnedBlock>): Promise<Address[]> {
  const garbage: Address[] = [];
  if (core.context.options.readOnly === true) return garbage;
  const byInode = new Map<number, OwnedBlock[]>();
  for (const block of blocks) {
    // What this session wrote may be on its way into a record.
    if (block.session >= core.context.session) continue;
    const others = byInode.get(block.inode);
    if (others === undefined) byInode.set(block.inode, [block]);
    else others.push(block);
  }
  for (const [number, owned] of byInode) {
    const inode = await core.table.load(number);
    // A removal that is under way drops its blocks itself.
    if (inode?.gone === true) continue;
    const condemned = inode === undefined ? await blocksOfNobody(core, owned) : await unreferencedBy(core, inode, owned);
    for (const { address } of condemned) garbage.push(address);
  }
  return garbage;
}

/**
 * There is no such inode, and its number is never given again. An earlier session that still makes it can give it a name only with
 * the journal's block that follows the ones this session found: so that one must be this session's own.
 */
async function blocksOfNobody(core: VolumeCore, owned: readonly OwnedBlock[]): Promise<readonly OwnedBlock[]> {
  if (!core.journal.advanced) {
    core.record({ names: [], links: [] });
    await core.names.flush(core.log.last);
  }
  return owned;
}

async function unreferencedBy(core: VolumeCore, inode: Inode, owned: readonly OwnedBlock[]): Promise<readonly OwnedBlock[]> {
  // The map changes only while the inode is being committed.
  const known = await core.records.exclusively([inode], () => addressesOf(inode));
  const condemned = owned.filter(({ address }) => !known.has(address));
  if (condemned.length === 0) return condemned;
  const record = await core.context.store.fetch(inode.block.address);
  if (record === undefined || ownerOf(record.payload).session !== core.context.session || inode.dirty || inode.busy !== undefined) {
    // The record as it is durable then names nothing that the map has lost meanwhile.
    core.touch(inode);
    if (inode.born) await core.records.commit([inode]);
    else await core.names.flush(core.log.last, inode);
  }
  return condemned;
}

async function addressesOf(inode: Inode): Promise<ReadonlySet<Address>> {
  const known = new Set<Address>();
  if (inode.content?.map !== undefined) for await (const { address } of inode.content.map.allBlocks()) known.add(address);
  for (const { pieces } of inode.content?.layers ?? []) for (const piece of pieces) if (piece.kind === 'block') known.add(piece.block.address);
  return known;
}
