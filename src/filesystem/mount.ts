import { InfinitError, messageOf } from '../base/index.ts';
import { VolumeContext, type VolumeSetup } from './context.ts';
import { VolumeCore } from './core.ts';
import { isPassing, isReadLater, versionsOf } from './failure.ts';
import type { JournalBlock } from './journal/journal-codec.ts';
import type { LostBlock } from './journal/lost-blocks.ts';
import { recount } from './recount.ts';
import { RedoLog } from './redo/redo-log.ts';
import { holdStored, prepareReplay, type Subjects, subjectsOf } from './redo/redo-replay.ts';
import { checkRoot, emptyRootRecord, makeRootAnew, withoutHead } from './lost-parts.ts';
import { rootInode } from './root-inode.ts';
import { type StateRecord, VolumeState } from './journal/volume-state.ts';

/** How far past the last known number a crash may have left inodes that no journal block names: one batch. */
const strayNumbers = 512;
/** Files without a name that are looked at before other work gets its turn. */
const removalsPerTurn = 64;

/** What the process before left in memory. */
interface Left {
  /** Operations up to this one are in the journal. */
  readonly durable: number;
  readonly subjects: Subjects;
}

/** Opens a volume, unless `create` is false a new one too, and brings what a crash left half done to its end. */
export async function mount(setup: VolumeSetup, create = true): Promise<VolumeCore> {
  if (!/^[0-9a-f]{32}$/.test(setup.volumeId)) throw new InfinitError('bad-argument', `"${setup.volumeId}" is not a volume id (32 hex digits)`);
  const context = new VolumeContext(setup);
  const state = new VolumeState(context);
  const known = await state.read();
  const begun = known ?? (await withoutHead(context, state));
  if (begun === undefined && !create) throw new InfinitError('not-found', `volume ${setup.volumeId} was never mounted`);
  const before = begun ?? (await format(context, state));
  const readOnly = setup.options?.readOnly === true;
  const redo = setup.memory === undefined ? undefined : new RedoLog(setup.memory, setup.volumeId);
  // Before the volume's own block says that this session has it.
  const left = !readOnly && setup.inherits === true && redo?.adopt(before.session, setup.session) === true;
  let core: VolumeCore | undefined;
  try {
    const found = readOnly || before.clean ? before : await state.fence();
    core = new VolumeCore(context, state, found, redo);
    // One that was formatted, and of which a crash then left no more, or that was read alone, is new still.
    const isUsed = begun !== undefined && !(found.clean && found.nextInode === 0);
    if (isUsed) core.numbers.startAbove(found.nextInode);
    if (setup.lost !== undefined) await makeRootAnew(context, setup.lost);
    await recover(core, setup, found, left);
  } catch (error) {
    redo?.survived();
    // Its flusher would try for ever to write out what was restored by then. Nothing is lost: the journals have it.
    core?.abandon();
    await core?.flusher.stop();
    throw error;
  }
  if (!readOnly) core.flusher.begin();
  return core;
}

/** What the mount before left half done; what this one needs to begin. @param left that one's process left something in memory. */
async function recover(core: VolumeCore, setup: VolumeSetup, found: StateRecord, left: boolean): Promise<void> {
  const { context, state } = core;
  const readOnly = context.options.readOnly === true;
  if (!readOnly) await reserveNumbers(core);
  if (setup.lost !== undefined && !readOnly) await core.orphans.mend();
  if (!(await core.orphans.load()))
    context.logger.warn('the list of files without a name may be lost: those that only it named go on taking up room');
  const fence = !readOnly && !found.clean;
  const blocks = await replay(core, found, fence);
  const { unread } = core;
  for (const block of blocks) unread.stage(block);
  recount(core, found, blocks);
  // Before any record is written: a record says that it covers what was journaled before it.
  for (const block of await core.contents.replay(found.clean, fence, setup.lost)) unread.restore(block);
  const leftover = left ? leftIn(core, blocks) : undefined;
  const waiting = leftover === undefined ? new Set<number>() : holdStored(core, leftover.subjects);
  unread.seen(rootInode);
  await unread.read(unread.all(), rootInode);
  await checkRoot(core, setup.lost);
  if (readOnly) return;
  const survived = leftover !== undefined && (await redoAll(core, leftover, waiting));
  const firstStray = blocks.at(-1)?.nextInode ?? found.nextInode;
  core.journal.nextInode = survived ? firstStray : (core.numbers.next ?? firstStray);
  await state.write({});
  // The journal remembers where strays may be until the checkpoint.
  // Names of a block that is lost may be in their directories all the same: what they name is left.
  if (!found.clean && !setup.lost?.some(hidesNames)) await markStrays(core, firstStray);
  if (survived) {
    // Inodes that the process before made are not looked for among this one's strays. Where they cannot be made durable now, they are later.
    const flushed = core.log.length > 0 ? core.names.flush(core.log.last) : Promise.resolve();
    await flushed.catch((error: unknown) =>
      context.logger.warn('what a killed daemon left in memory is not all durable yet', { error: messageOf(error) }),
    );
    core.journal.nextInode = core.numbers.next ?? core.journal.nextInode;
    await state.write({});
  }
  if (!core.checkpoint.idle) await core.checkpoint.run();
  const { othersOpened, resumed, resent, askedBefore } = setup;
  // Into memory, so that nothing has to be waited for when the kernel forgets one: it says so only once, and this process may die in that moment.
  if (resumed === true) {
    for (const number of core.orphans.all()) unread.seen(number);
    await unread.read(core.orphans.all());
  }
  if (resent !== undefined) void askLater(core, resent);
  if (othersOpened !== undefined) void removeLater(core, othersOpened);
  else if (resumed !== true) await removeOrphans(core);
  const lost = (survived ? setup.lostBefore : setup.lostInodes) ?? [];
  for (const number of lost) unread.lost(number);
  await unread.read(lost);
  if (!survived && setup.lostAny === true) core.lostBelow = core.numbers.next ?? Infinity;
  if (survived) core.redo?.resume(setup.session);
  else core.redo?.begin(setup.session, core.log.durable, resumed !== true && askedBefore !== true);
}

/** Whether names of a moment may be in their directories that no block is left to tell of. */
function hidesNames(lost: LostBlock): boolean {
  return 'journal' in lost ? lost.journal === 'names' : lost.part === 'head';
}

/** Only what makes a file needs a number: that waits, and all else goes on, while their counter is out of reach. */
async function reserveNumbers({ numbers, context }: VolumeCore): Promise<void> {
  await numbers.reserve().catch((error: unknown) => {
    if (!isReadLater(error)) throw error;
    context.logger.warn('the counter of inode numbers is out of reach: nothing can be made on the volume until it is back', {
      error: messageOf(error),
    });
  });
}

/** What the process before left in memory, as far as it is not durable; undefined: it cannot be used, and is lost. */
function leftIn({ redo, context }: VolumeCore, blocks: readonly JournalBlock[]): Left | undefined {
  const mine = blocks.filter(({ numbered }) => numbered?.origin === redo!.origin);
  const durable = Math.max(redo!.durable, ...mine.map(({ numbered }) => numbered!.through));
  try {
    return { durable, subjects: subjectsOf(redo!, durable) };
  } catch (error) {
    giveUp(redo!, context, error);
    return undefined;
  }
}

function giveUp(log: RedoLog, { logger }: VolumeContext, error: unknown): void {
  logger.error('what a killed daemon left in memory cannot be used, and is lost', { error });
  log.discard();
}

/** Makes again what the process before left in memory. False: it cannot be, and is lost. */
async function redoAll(core: VolumeCore, { durable, subjects }: Left, waiting: ReadonlySet<number>): Promise<boolean> {
  const log = core.redo!;
  let replay: () => void;
  try {
    replay = await prepareReplay(core, subjects, waiting);
  } catch (error) {
    if (isPassing(error)) throw error;
    giveUp(log, core.context, error);
    for (const inode of waiting) core.held.drop(inode);
    return false;
  }
  if (!log.namesCalls) core.journal.calls.doubt();
  core.log.start(durable);
  log.durable = durable;
  replay();
  return true;
}

/** A new volume: its root directory and its own block, in one commit. */
async function format(context: VolumeContext, state: VolumeState): Promise<StateRecord> {
  const record = {
    tail: 1,
    next: 1,
    nextInode: 0,
    allocated: 0,
    files: 1,
    unsettled: [],
    leftOut: [],
    clean: true,
    session: context.session,
    remembers: true,
  };
  const address = context.inodeAddress(rootInode);
  // The root comes first: a volume that has a block of its own has a root. A root without that is what a crash left; it is written again.
  const result = await context.store.commit([
    { update: [{ address, expect: 'any', payload: emptyRootRecord(context) }] },
    { update: [state.update(record)] },
  ]);
  state.written(versionsOf(result)[1]![0]!, record);
  return record;
}

/**
 * The journal's blocks that the mount before left. With `fence` the last of them and the one that follows are this session's own: were a late one of the mount before to come
 * after them, the inodes that it names would be taken for strays by then.
 */
async function replay({ journal, context }: VolumeCore, found: StateRecord, fence: boolean): Promise<JournalBlock[]> {
  const { lost } = context.setup;
  const blocks = await journal.replay(lost);
  for (let fenced = !fence; !fenced;) {
    if (!(await journal.claim())) {
      blocks.pop();
      blocks.push(...(await journal.replay(lost)));
      continue;
    }
    const last = blocks.at(-1);
    fenced = await journal.fence({
      nextInode: last?.nextInode ?? found.nextInode,
      usage: last !== undefined && last.sequence >= found.next ? last.usage : found,
    });
    if (fenced) break;
    const more = await journal.replay(lost);
    if (more.length === 0) throw new InfinitError('conflict', 'another mount has taken the volume over');
    blocks.push(...more);
  }
  return blocks;
}

/** Inodes that were written just before a crash, whose operation was not: nothing names them, and the next checkpoint removes them. */
async function markStrays({ unread }: VolumeCore, from: number): Promise<void> {
  if (from === 0) return;
  const numbers = Array.from({ length: strayNumbers }, (_, index) => from + index);
  for (const number of numbers) unread.stray(number);
  await unread.read(numbers);
}

/** Files without a name that the kernel may have given back to the process before, or that it never heard of. */
async function askLater(core: VolumeCore, resent: Promise<unknown>): Promise<void> {
  await resent;
  for (const number of core.orphans.all()) {
    const inode = core.table.peek(number);
    if (inode !== undefined && !core.abandoned) await core.askKernel(inode);
  }
}

/** Files without a name that nobody has open, whoever had. */
async function removeLater(core: VolumeCore, othersOpened: Promise<unknown>): Promise<void> {
  await othersOpened;
  core.table.othersOpened();
  // Those that lost their name meanwhile need not be on the list yet.
  const nameless = [...core.table.all()].filter((inode) => inode.links === 0).map(({ number }) => number);
  try {
    let looked = 0;
    for (const number of new Set([...nameless, ...core.orphans.all()])) {
      if (++looked % removalsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
      if (core.abandoned) return;
      core.unread.unused(number, 'elsewhere');
      await core.unread.read([number]);
    }
  } catch (error) {
    core.context.logger.warn('files without a name are left to the next mount', { error: messageOf(error) });
  }
}

/** Files without a name whose users died with the machine. */
async function removeOrphans({ context, log, names, orphans, unread }: VolumeCore): Promise<void> {
  for (const number of orphans.all()) unread.unused(number, 'everywhere');
  await unread.read(orphans.all());
  if (log.length === 0) return;
  await names.flush(log.last).catch((error: unknown) => {
    if (!isReadLater(error)) throw error;
    context.logger.warn('files without a name are not removed yet', { error: messageOf(error) });
  });
}
