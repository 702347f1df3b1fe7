import type { Effects, Place } from './effects.ts';
import type { GrantKey } from './grants.ts';
import type { KnownName, Names } from './known-names.ts';

/** One call to the host that serves the volume, and what of its answer may not be kept. */
export class Question {
  /** What it changes, if anything. */
  readonly effects: Effects | undefined;
  /** What its names stood for. */
  readonly before: readonly KnownName[];
  /** What was known of the directories of its names. */
  readonly directories: readonly (Names | undefined)[];
  /** Inodes that it changes, as far as is known here. */
  readonly changed: readonly number[];
  /** What its names stand for now, by index. */
  readonly outcomes = new Map<number, number | null>();
  /** Asked back, or changed by another call, since it was asked: the answer may be of before. */
  readonly spoiled = new Set<GrantKey>();
  /** Nothing of it may be kept: the host is another one, or the time was over. */
  stale = false;
  readonly #names = new Set<string>();

  constructor(effects: Effects | undefined, before: readonly KnownName[], directories: readonly (Names | undefined)[]) {
    this.effects = effects;
    this.before = before;
    this.directories = directories;
    this.changed = effects === undefined ? [] : [...new Set([...effects.inodes, ...before.filter((inode) => typeof inode === 'number')])];
  }

  /** Inodes that this host forgot for it, beyond its arguments. */
  get gave(): readonly number[] {
    return this.changed.filter((inode) => this.effects?.inodes.includes(inode) === false);
  }

  /** Another call is under way. */
  spoilBy({ changed, effects }: Question): void {
    for (const inode of changed) this.spoiled.add(inode);
    for (const place of effects?.names ?? []) this.#names.add(keyOf(place));
  }

  spoils(place: Place): boolean {
    return this.#names.has(keyOf(place));
  }

  get hasSpoiledNames(): boolean {
    return this.#names.size > 0;
  }
}

function keyOf({ directory, name }: Place): string {
  return `${directory} ${name}`;
}
