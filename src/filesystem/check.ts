import { codeOf } from '../base/index.ts';
import { type Address, kindOf, ownerOf } from '../block/index.ts';
import type { VolumeSetup } from './context.ts';
import type { VolumeCore } from './core.ts';
import { correctFoundLinks } from './correct-links.ts';
import type { PlacedDentry } from './names/directory.ts';
import type { Inode } from './inodes/inode.ts';
import type { LostBlock } from './journal/lost-blocks.ts';
import { attempt } from './miss.ts';
import { unlessLost } from './failure.ts';
import { mount } from './mount.ts';
import { hasLost, type Problem } from './problem.ts';
import { rootInode } from './root-inode.ts';
import { isDirectory, typeMask } from './inodes/mode.ts';
import { firstPosition } from './names/name-hash.ts';

export interface CheckReport {
  readonly problems: readonly Problem[];
  readonly directories: number;
  readonly files: number;
  /** Bytes of file contents. */
  readonly allocated: number;
}

/** All blocks that a store holds, where it can say so: with them the check finds what nothing refers to. */
export interface StoreContents {
  readonly immutable: Iterable<Address>;
  readonly mutable: Iterable<Address>;
}

const pageNames = 512;

/** Walks a volume that nobody has mounted and reports what does not fit; changes nothing. @throws InfinitError where something cannot be read. */
export async function checkVolume(setup: VolumeSetup, contents?: StoreContents): Promise<CheckReport> {
  const lost: LostBlock[] = [];
  const core = await mount({ ...setup, lost, options: { ...setup.options, readOnly: true } }, false);
  const report = await new Check(core).run(lost.length === 0 ? contents : undefined);
  return { ...report, problems: [...lost.map((one) => ({ kind: 'lost-block' as const, ...one })), ...report.problems] };
}

/** How often an open volume is looked at: what changes meanwhile looks wrong once, what is wrong stays so. */
const openRounds = 3;

/**
 * Checks a volume in use: reports what was wrong in every round. `repair`: corrects the usage, which older programs left wrong after a crash, and link counts, where nobody changed a name during
 * the last round.
 */
export async function checkOpen(core: VolumeCore, repair: boolean): Promise<CheckReport> {
  let report: CheckReport | undefined;
  let through = 0;
  for (let round = 0; round < openRounds; round++) {
    await core.flusher.settle();
    through = core.log.last;
    const next = await new Check(core).run(undefined);
    const seen = new Set(next.problems.map((problem) => JSON.stringify(problem)));
    report = { ...next, problems: (report ?? next).problems.filter((problem) => seen.has(JSON.stringify(problem))) };
    if (report.problems.length === 0) break;
  }
  if (repair && core.context.options.readOnly !== true) await correctFoundLinks(core, report!.problems, through);
  if (repair) await correctUsage(core, report!);
  return report!;
}

/** By the difference, so that what was counted since is counted still. */
async function correctUsage(core: VolumeCore, { problems }: CheckReport): Promise<void> {
  for (const problem of problems) {
    if (problem.kind !== 'wrong-usage') continue;
    const difference = problem.counted - problem.recorded;
    if (problem.what === 'files') core.usage.count(0, difference);
    else core.usage.count(difference, 0);
  }
  if (core.context.options.readOnly !== true) await core.flusher.settle();
}

class Check {
  readonly #core: VolumeCore;
  readonly #problems: Problem[] = [];
  /** Names found, by inode. */
  readonly #names = new Map<number, number>();
  /** Where directories were found. */
  readonly #parents = new Map<number, number>([[rootInode, rootInode]]);
  readonly #blocks = new Map<Address, number>();
  #directories = 0;
  #files = 0;
  #allocated = 0;

  constructor(core: VolumeCore) {
    this.#core = core;
  }

  async run(contents: StoreContents | undefined): Promise<CheckReport> {
    const waiting = [rootInode];
    for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
      await this.#unlessLost({ inode: number }, async () => {
        const directory = await this.#core.table.load(number);
        if (directory !== undefined) await this.#directory(directory, waiting);
      });
    }
    for (const number of this.#core.orphans.all()) if (!this.#names.has(number)) this.#names.set(number, 0);
    for (const [number, names] of this.#names) await this.#unlessLost({ inode: number }, () => this.#inode(number, names));
    const { usage } = this.#core;
    const files = this.#directories + this.#files;
    // What is lost is counted still, and nobody knows any more how much it is.
    const isWhole = this.#core.table.peek(rootInode) !== undefined && !hasLost(this.#problems);
    if (isWhole && usage.files !== files) this.#problems.push({ kind: 'wrong-usage', what: 'files', counted: files, recorded: usage.files });
    if (isWhole && usage.allocated !== this.#allocated)
      this.#problems.push({ kind: 'wrong-usage', what: 'allocated', counted: this.#allocated, recorded: usage.allocated });
    // Nor what refers to what.
    if (contents !== undefined && isWhole) await this.#leaks(contents);
    return { problems: this.#problems, directories: this.#directories, files: this.#files, allocated: this.#allocated };
  }

  /** Reports what was given up, and goes on with the rest. */
  async #unlessLost<T>(
    what: { readonly inode: number; readonly directory?: number; readonly name?: string },
    look: () => Promise<T>,
  ): Promise<T | 'lost'> {
    try {
      return await look();
    } catch (error) {
      if (codeOf(error) !== 'lost') throw error;
      this.#problems.push({ kind: 'lost', ...what });
      return 'lost';
    }
  }

  async #directory(inode: Inode, waiting: number[]): Promise<void> {
    this.#directories++;
    let subdirectories = 0;
    for (let after = firstPosition - 1; ;) {
      const from = after;
      const page = await unlessLost((async () => attempt(() => inode.directory!.list(from, pageNames)))());
      if (page === 'lost') return void this.#problems.push({ kind: 'lost-names', inode: inode.number });
      for (const entry of page.entries) {
        const named = { inode: entry.inode, directory: inode.number, name: entry.name };
        const child = await this.#unlessLost(named, () => this.#core.table.load(entry.inode));
        if (child === 'lost') {
          if (isDirectory(entry.type)) subdirectories++;
          continue;
        }
        if (child === undefined || child.gone) {
          this.#problems.push({ kind: 'dangling-name', directory: inode.number, name: entry.name, inode: entry.inode });
          continue;
        }
        if ((child.mode & typeMask) !== entry.type)
          this.#problems.push({ kind: 'wrong-type', directory: inode.number, name: entry.name, inode: entry.inode });
        if (child.isDirectory) {
          subdirectories++;
          this.#subdirectory(inode, child, entry, waiting);
        } else this.#names.set(child.number, (this.#names.get(child.number) ?? 0) + 1);
      }
      if (page.done) break;
      after = page.until;
    }
    if (inode.links !== subdirectories + 2)
      this.#problems.push({ kind: 'wrong-links', inode: inode.number, links: inode.links, names: subdirectories + 2 });
  }

  #subdirectory(parent: Inode, child: Inode, entry: PlacedDentry, waiting: number[]): void {
    if (this.#parents.has(child.number)) {
      this.#problems.push({ kind: 'two-parents', inode: entry.inode, foundIn: parent.number });
      return;
    }
    this.#parents.set(child.number, parent.number);
    if (child.parent !== parent.number)
      this.#problems.push({ kind: 'wrong-parent', inode: child.number, parent: child.parent, foundIn: parent.number });
    waiting.push(child.number);
  }

  async #inode(number: number, names: number): Promise<void> {
    const inode = await this.#core.table.load(number);
    if (inode === undefined || inode.gone) return;
    // Without a name, and in use still.
    if (inode.isDirectory) {
      this.#directories++;
      return;
    }
    this.#files++;
    if (inode.links !== names) this.#problems.push({ kind: 'wrong-links', inode: number, links: inode.links, names });
    const { content } = inode;
    if (content === undefined) return;
    this.#allocated += content.durableAllocated;
    if (content.map === undefined) return;
    for await (const { address } of content.map.allBlocks()) {
      if (this.#blocks.has(address)) this.#problems.push({ kind: 'shared-block', inode: number, address });
      this.#blocks.set(address, number);
    }
  }

  async #leaks({ immutable, mutable }: StoreContents): Promise<void> {
    const { context } = this.#core;
    const held = new Set(immutable);
    for (const [address, inode] of this.#blocks) if (!held.has(address)) this.#problems.push({ kind: 'missing-block', inode, address });
    for (const address of held) {
      if (this.#blocks.has(address)) continue;
      const sealed = await context.store.get(address);
      this.#problems.push({ kind: 'leaked-block', inode: ownerOf(sealed).inode, address });
    }
    for (const address of mutable) {
      if (kindOf(address) !== 'named') continue;
      const block = await context.store.fetch(address);
      if (block === undefined) continue;
      const { inode } = ownerOf(block.payload);
      if (address !== context.inodeAddress(inode) || this.#names.has(inode) || this.#parents.has(inode)) continue;
      // The next checkpoint removes what the journal says is gone.
      if (this.#core.table.peek(inode)?.gone !== true) this.#problems.push({ kind: 'leaked-inode', inode });
    }
  }
}
