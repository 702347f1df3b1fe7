/** What a volume does without blocks of its own that all their hosts took along: it is never shown as an empty one, and is opened once a person wants it without. */
import type { Address } from '../block/index.ts';
import { emptyRoot } from '../tree/index.ts';
import type { VolumeContext } from './context.ts';
import type { VolumeCore } from './core.ts';
import { unlessLost, versionsOf } from './failure.ts';
import { encodeInode } from './inodes/inode-codec.ts';
import { typeDirectory } from './inodes/mode.ts';
import { readRing } from './journal/journal.ts';
import { lostInUse, type LostBlock } from './journal/lost-blocks.ts';
import { BlockVersion } from './journal/named-block.ts';
import type { StateRecord, VolumeState } from './journal/volume-state.ts';
import { rootInode } from './root-inode.ts';

/** What a mount makes once the volume has a block of its own; its first files and names make the rest. */
const madeLater: readonly string[] = ['inodes', 'orphans', `directory:${rootInode}`, 'journal:1', 'journal:2', 'journal:3', 'content:0'];

/**
 * What a volume begins with whose own block was not there; undefined where it is new.
 * @throws InfinitError `lost` where it is not, unless a person wants it without.
 */
export async function withoutHead(context: VolumeContext, state: VolumeState): Promise<StateRecord | undefined> {
  const addresses: readonly Address[] = madeLater.map((name) => context.address(name));
  const found = await Promise.all(addresses.map((address) => context.store.fetch(address)));
  if (found.every((block) => block === undefined)) return undefined;
  // It comes before all of these: another host may have made the volume since it was looked for.
  const made = await state.read();
  if (made !== undefined) return made;
  accept(context, { part: 'head' }, context.setup.lost);
  const blocks = await readRing(context);
  const last = blocks.at(-1);
  const next = last === undefined ? 1 : last.sequence + 1;
  const { allocated, files } = last?.usage ?? { allocated: 0, files: 1 };
  const record: StateRecord = {
    tail: blocks[0]?.sequence ?? next,
    next,
    nextInode: last?.nextInode ?? 0,
    allocated,
    files,
    unsettled: [],
    leftOut: [],
    clean: false,
    session: context.session,
    remembers: false,
  };
  if (context.options.readOnly === true) state.written(0, record);
  else state.written(versionsOf(await context.store.commit([{ update: [state.update(record)] }]))[0]![0]!, record);
  return record;
}

/** An empty root directory, or an empty page of its names, where a person wants the volume without what is lost. */
export async function makeRootAnew(context: VolumeContext, lost: LostBlock[]): Promise<void> {
  const record = context.inodeAddress(rootInode);
  const page = context.address(`directory:${rootInode}`);
  const [root, names] = await Promise.all([record, page].map((address) => unlessLost(context.store.fetch(address))));
  if (root === undefined || root === 'lost') {
    lost.push({ part: 'root' });
    await remake(context, record, () => emptyRootRecord(context));
  }
  // One that is not there may never have been: see checkRoot.
  if (names === 'lost') {
    lost.push({ part: 'root-names' });
    await remake(context, page, () => emptyRoot(page, context.nodeSealer(rootInode)));
  }
}

async function remake(context: VolumeContext, address: Address, payload: () => Uint8Array): Promise<void> {
  if (context.options.readOnly === true) return;
  const block = new BlockVersion(context, address, undefined);
  await block.learn();
  versionsOf(await context.store.commit([{ update: [block.update(payload())] }]));
}

/** @throws InfinitError `lost` where the root directory is not there, or has no names though there are files, unless a person wants it so. */
export async function checkRoot({ context, table, usage, orphans }: VolumeCore, lost: LostBlock[] | undefined): Promise<void> {
  const root = table.peek(rootInode);
  if (root === undefined) {
    if (lost === undefined) throw lostInUse(context.volumeId, { part: 'root' });
    return;
  }
  // The page of names is made with the first of them, and stays.
  if (usage.files <= 1 + orphans.all().length || root.directory === undefined || root.directory.overlay.size > 0) return;
  const isMissing = await root.directory.tree.exists().then(
    (exists) => !exists,
    // It is out of reach: whoever wants a name hears it.
    () => false,
  );
  if (isMissing && lost?.some((one) => 'part' in one && one.part === 'root') !== true) accept(context, { part: 'root-names' }, lost);
}

/** The sealed record of a root directory without names. */
export function emptyRootRecord(context: VolumeContext): Uint8Array {
  const { options } = context;
  const now = context.clock.now();
  const record = encodeInode({
    mode: typeDirectory | (options.mode ?? 0o755),
    uid: options.uid ?? 0,
    gid: options.gid ?? 0,
    links: 2,
    device: 0,
    epoch: context.epoch,
    size: 0,
    allocated: 0,
    parent: rootInode,
    accessed: now,
    modified: now,
    changed: now,
    target: undefined,
    xattrs: undefined,
    inline: undefined,
    extents: undefined,
    truncating: false,
    journaled: { session: context.session, count: 0 },
    previous: undefined,
    calls: undefined,
  });
  return context.sealer.sealPayload(context.inodeAddress(rootInode), context.owner(rootInode), record);
}

/** @param lost takes what a person wants to do without. @throws InfinitError `lost` without it */
function accept({ volumeId }: VolumeContext, which: LostBlock, lost: LostBlock[] | undefined): void {
  if (lost === undefined) throw lostInUse(volumeId, which);
  lost.push(which);
}
