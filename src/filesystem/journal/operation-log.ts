import type { DoneCall } from './call-table.ts';
import type { NameChange } from '../names/name-overlay.ts';
import type { Inode } from '../inodes/inode.ts';
import { inodeCost, maxJournalBytes, nameCost } from './journal-codec.ts';

/** Operations in one batch at the most: what sealing and sending their inodes at once costs the event loop. */
const maxBatchOperations = 64;

/** What one operation did to names and link counts, in memory; it becomes durable as a whole. */
export interface Operation {
  /** Counts operations from 1. */
  readonly sequence: number;
  readonly names: readonly { readonly directory: Inode; readonly change: NameChange }[];
  /** Link counts that changed, by how much. */
  readonly links: readonly { readonly inode: Inode; readonly delta: number }[];
  /** Has another name now: its fsync makes that durable too. */
  readonly renamed?: readonly Inode[];
  /** Lost its last name and user: its block goes. */
  readonly gone?: Inode;
  /** Directories that moved. */
  readonly moved?: readonly { readonly inode: Inode; readonly parent: number }[];
  /** Content that must not become durable later than the operation: a file renamed over another one. */
  readonly settle?: Inode;
  /** The number of the kernel's request, where a later process must know whether it was done. */
  readonly request?: number;
  /** Another host's call that it does. */
  readonly call?: DoneCall | undefined;
}

/** A prefix of the log, as final values. */
export interface Batch {
  readonly through: number;
  readonly count: number;
  /** By directory and name. */
  readonly names: ReadonlyMap<Inode, ReadonlyMap<string, NameChange>>;
  readonly links: ReadonlyMap<Inode, { delta: number; parent: number; gone: boolean }>;
  readonly settle: ReadonlySet<Inode>;
  /** Calls of other hosts that it does. */
  readonly calls: readonly DoneCall[];
}

/**
 * The operations on names that the journal does not have yet, in order. The journal takes prefixes, so what is durable is always a
 * state that the volume was in.
 */
export class OperationLog {
  #operations: Operation[] = [];
  #sequence = 0;
  /** All operations up to this one are durable in the journal. */
  #durable = 0;

  get last(): number {
    return this.#sequence;
  }

  get durable(): number {
    return this.#durable;
  }

  get length(): number {
    return this.#operations.length;
  }

  /** Goes on with the numbers of the process before: the next operation follows this one, which is durable. */
  start(durable: number): void {
    this.#sequence = this.#durable = durable;
  }

  append(made: Omit<Operation, 'sequence'>): Operation {
    const sequence = ++this.#sequence;
    const operation = { ...made, sequence };
    this.#operations.push(operation);
    for (const { directory } of operation.names) directory.lastOperation = sequence;
    for (const { inode } of operation.links) inode.lastOperation = sequence;
    for (const inode of operation.renamed ?? []) inode.lastOperation = sequence;
    if (operation.gone !== undefined) operation.gone.lastOperation = sequence;
    for (const { inode } of operation.moved ?? []) inode.lastOperation = sequence;
    return operation;
  }

  /** Operations before the first of which this is the file whose content must come before it. */
  before(holds: (settle: Inode) => boolean): number {
    const at = this.#operations.findIndex(({ settle }) => settle !== undefined && holds(settle));
    return at < 0 ? this.#operations.length : at;
  }

  /** The longest prefix, of so many operations at the most, that fits one block; undefined where nothing is left. It stays in the log until {@link committed}. */
  batch(most = Infinity): Batch | undefined {
    if (this.#operations.length === 0) return undefined;
    const names = new Map<Inode, Map<string, NameChange>>();
    const links = new Map<Inode, { delta: number; parent: number; gone: boolean }>();
    const settle = new Set<Inode>();
    const calls: DoneCall[] = [];
    const of = (inode: Inode): { delta: number; parent: number; gone: boolean } => {
      let entry = links.get(inode);
      if (entry === undefined) links.set(inode, (entry = { delta: 0, parent: inode.born ? inode.durableParent : inode.firstParent, gone: false }));
      return entry;
    };
    let bytes = 0;
    let count = 0;
    for (const operation of this.#operations) {
      for (const { change } of operation.names) bytes += nameCost(change.name);
      bytes += (operation.links.length + 3) * inodeCost;
      if (count > 0 && (bytes > maxJournalBytes || count >= Math.min(most, maxBatchOperations))) break;
      count++;
      for (const { directory, change } of operation.names) {
        const changes = names.get(directory);
        if (changes === undefined) names.set(directory, new Map([[change.name, change]]));
        else changes.set(change.name, change);
      }
      for (const { inode, delta } of operation.links) of(inode).delta += delta;
      for (const { inode, parent } of operation.moved ?? []) of(inode).parent = parent;
      if (operation.gone !== undefined) of(operation.gone).gone = true;
      if (operation.settle !== undefined) settle.add(operation.settle);
      if (operation.call !== undefined) calls.push(operation.call);
    }
    return { through: this.#operations[count - 1]!.sequence, count, names, links, settle, calls };
  }

  /** The batch is durable. */
  committed(batch: Batch): void {
    this.#operations = this.#operations.slice(batch.count);
    this.#durable = batch.through;
  }
}
