import type { Dentry } from './directory-codec.ts';
import type { NameHash } from './name-hash.ts';

/** A name's new meaning: a dentry, or undefined where it is removed. */
export interface NameChange {
  readonly name: string;
  readonly dentry: Dentry | undefined;
}

/** Places that wait to be sorted in: few, so that no call takes long. */
const maxRecent = 1024;

interface Placed {
  readonly position: number;
  readonly name: string;
  /** It has no change any more. */
  idle: boolean;
}

/**
 * The changes to one directory's names that its tree does not have: in memory only (`pending`), over durable in the journal (`staged`).
 * By name at once; in order of position by an array that follows the changes lazily, so that a listing amid thousands of changes costs a merge
 * and not a sort.
 */
export class NameOverlay {
  readonly #hash: NameHash;
  readonly #pending = new Map<string, NameChange>();
  readonly #staged = new Map<string, NameChange>();
  /** Places of names, in order; some may not be overlaid any more. */
  #ordered: Placed[] = [];
  #recent: Placed[] = [];
  /** All that is in one of the two, by name. */
  readonly #placed = new Map<string, Placed>();

  constructor(hash: NameHash) {
    this.#hash = hash;
  }

  get size(): number {
    return this.#pending.size + this.#staged.size;
  }

  /** Changes that the next checkpoint has to put into the tree. */
  get staged(): number {
    return this.#staged.size;
  }

  /** The changes that the tree does not have, in no order. */
  allStaged(): Iterable<NameChange> {
    return this.#staged.values();
  }

  /** The newest change of a name. */
  get(name: string): NameChange | undefined {
    return this.#pending.get(name) ?? this.#staged.get(name);
  }

  change(change: NameChange): void {
    this.#pending.set(change.name, change);
    this.#place(change.name);
  }

  /** The journal has these changes. */
  stage(changes: Iterable<NameChange>): void {
    for (const change of changes) {
      this.#staged.set(change.name, change);
      if (this.#pending.get(change.name) === change) this.#pending.delete(change.name);
      this.#place(change.name);
    }
  }

  /** The tree has these changes. */
  applied(changes: Iterable<NameChange>): void {
    for (const change of changes) {
      if (this.#staged.get(change.name) !== change) continue;
      this.#staged.delete(change.name);
      if (!this.#pending.has(change.name)) this.#placed.get(change.name)!.idle = true;
    }
    if (this.size === 0) {
      this.#ordered = [];
      this.#recent = [];
      this.#placed.clear();
    }
  }

  /**
   * The staged changes placed after `position`, in order: `limit` of them and all that share the last one's place; none where nothing is left. Of those whose names
   * got their first change since {@link ordered} was asked some are missing: putting each few in order at every step is a merge of all a step.
   */
  stagedAfter(position: number, limit: number): { readonly changes: NameChange[]; readonly until: number } {
    const places = this.#ordered;
    const changes: NameChange[] = [];
    let until = position;
    for (let index = firstAfter(places, position); index < places.length; index++) {
      const place = places[index]!;
      if (changes.length >= limit && place.position !== until) break;
      const change = this.#staged.get(place.name);
      if (change === undefined) continue;
      changes.push(change);
      until = place.position;
    }
    return { changes, until };
  }

  /** Places in order; a name in it counts only while {@link get} knows it. */
  ordered(): readonly { readonly position: number; readonly name: string }[] {
    if (this.#recent.length > 0) this.#merge();
    return this.#ordered;
  }

  #place(name: string): void {
    const known = this.#placed.get(name);
    if (known !== undefined) {
      known.idle = false;
      return;
    }
    const place = { position: this.#hash.of(name), name, idle: false };
    this.#placed.set(name, place);
    this.#recent.push(place);
    if (this.#recent.length >= maxRecent) this.#merge();
  }

  #merge(): void {
    const recent = this.#recent.sort((a, b) => a.position - b.position);
    let old = this.#ordered;
    if (this.#placed.size > 2 * this.size + recent.length) {
      old = old.filter(({ idle, name }) => !idle || !this.#placed.delete(name));
    }
    const merged: Placed[] = [];
    let index = 0;
    for (const place of recent) {
      while (index < old.length && old[index]!.position <= place.position) merged.push(old[index++]!);
      merged.push(place);
    }
    while (index < old.length) merged.push(old[index++]!);
    this.#ordered = merged;
    this.#recent = [];
  }
}

/** Index of the first place beyond a position. */
export function firstAfter(overlay: readonly { readonly position: number }[], position: number): number {
  let low = 0;
  let high = overlay.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (overlay[middle]!.position > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
