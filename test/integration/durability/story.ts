import { readFileSync } from 'node:fs';

import { ContentStory } from './content-story.ts';

/** One thing that a program is about to do to files, which it names by numbers of its own. */
export type Deed =
  | { readonly do: 'write'; readonly file: number; readonly offset: number; readonly length: number; readonly sync?: boolean }
  | { readonly do: 'truncate'; readonly file: number; readonly size: number }
  | { readonly do: 'zero'; readonly file: number; readonly offset: number; readonly length: number }
  | { readonly do: 'sync'; readonly file: number; readonly names?: boolean }
  | { readonly do: 'msync'; readonly file: number; readonly length: number }
  | { readonly do: 'syncDirectory' }
  | { readonly do: 'create'; readonly file: number; readonly name: string }
  | { readonly do: 'link'; readonly file: number; readonly name: string }
  | { readonly do: 'unlink'; readonly name: string }
  | { readonly do: 'rename'; readonly from: string; readonly to: string }
  | { readonly do: 'exchange'; readonly from: string; readonly to: string };

/** How it ends what a program saw that it should not have, where its next sync did not say so. */
export const untold = ', and no sync says so';

/** What of a program's work may be lost. */
export type Loss = 'nothing' | 'last' | 'any';

/** A line of the log that a program keeps elsewhere: before it does something, and once that is done. */
export interface Line {
  readonly step: number;
  /** Why the program ended before its time. */
  readonly refused?: string;
  readonly deed?: Deed;
  /** 'ok', or the errno. */
  readonly end?: string;
  /** Of a file that was created. */
  readonly inode?: number;
}

/** The bytes that the write of this step writes. */
export function bytesOf(seed: number, step: number, length: number): Buffer {
  const data = Buffer.allocUnsafe(length);
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(step + 1, 0xc2b2ae35);
  for (let at = 0; at < length; at++) {
    if ((at & 63) === 0) state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    data[at] = 1 + (((state >>> 8) + at * 7) % 255);
  }
  return data;
}

/** Names and the files that they stand for. */
type Names = ReadonlyMap<string, number>;

/** Everything that a program did, as far as it is known, and what must be there after a crash. */
export class Story {
  readonly #seed: number;
  /** Of each file what it may contain, and the same where names as of a later index are seen. */
  readonly #files = new Map<number, { readonly from: number; readonly content: ContentStory }[]>();
  readonly #inodes = new Map<number, number>();
  /** Names after each change of one; the first of them is durable. */
  #names: Names[] = [new Map()];
  /** The same since the directory was synced last, and by name from when on each counts: once the host that made names is gone, the next one's fsync of a file speaks of that one's name alone. */
  #each: Names[] = [new Map()];
  readonly #counted = new Map<string, number>();
  /** Of each file, which of them is the newest that has to do with it. */
  readonly #lastNamed = new Map<number, number>();
  #dropped = 0;
  /** Things done, and of those the ones that made something durable. */
  steps = 0;
  syncs = 0;
  /** What a program was told that it should not be. */
  failure: string | undefined;

  constructor(seed: number) {
    this.#seed = seed;
  }

  static read(seed: number, log: string): Story {
    const story = new Story(seed);
    const text = readFileSync(log, 'latin1');
    // A line that was being written when the program died says nothing.
    const lines = text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
    const ends = new Map(lines.filter(({ end }) => end !== undefined).map((line) => [line.step, line]));
    for (const { step, deed, refused } of lines) {
      if (deed !== undefined) story.tell(step, deed, ends.get(step));
      story.failure ??= refused;
    }
    return story;
  }

  get names(): Names {
    return this.#names.at(-1)!;
  }

  contentOf(file: number): ContentStory {
    return this.#files.get(file)![0]!.content;
  }

  inodeOf(file: number): number | undefined {
    return this.#inodes.get(file);
  }

  tell(step: number, deed: Deed, line: Line | undefined): void {
    this.steps++;
    const done = line?.end === 'ok';
    if (line?.end !== undefined && !done) this.failure ??= `step ${step}, ${JSON.stringify(deed)}: ${line.end}`;
    switch (deed.do) {
      case 'write': {
        const data = bytesOf(this.#seed, step, deed.length);
        this.#ofEach(deed.file, (content) => content.write(deed.offset, data));
        if (!done || deed.sync !== true) break;
        this.syncs++;
        this.#ofEach(deed.file, (content) => content.syncedRange(deed.offset, deed.offset + deed.length));
        break;
      }
      case 'truncate':
        this.#ofEach(deed.file, (content) => content.truncate(deed.size));
        break;
      case 'zero':
        this.#ofEach(deed.file, (content) => content.zero(deed.offset, deed.offset + deed.length));
        break;
      case 'sync':
        if (!done) break;
        this.syncs++;
        this.#ofEach(deed.file, (content) => content.synced());
        if (deed.names === true) this.#nameSynced(deed.file);
        break;
      case 'msync':
        if (!done) break;
        this.syncs++;
        this.#ofEach(deed.file, (content) => content.syncedRange(0, deed.length));
        break;
      case 'syncDirectory':
        if (!done) break;
        this.syncs++;
        this.#directorySynced();
        break;
      case 'create':
        this.#files.set(deed.file, [{ from: 0, content: new ContentStory() }]);
        if (line?.inode !== undefined) this.#inodes.set(deed.file, line.inode);
        this.#change([[deed.name, deed.file]]);
        break;
      case 'link':
        this.#change([[deed.name, deed.file]]);
        break;
      case 'unlink':
        this.#change([[deed.name, undefined]]);
        break;
      case 'rename': {
        const file = this.names.get(deed.from)!;
        const replaces = this.names.has(deed.to);
        this.#change(
          [
            [deed.from, undefined],
            [deed.to, file],
          ],
          replaces ? file : undefined,
        );
        break;
      }
      case 'exchange':
        this.#change([
          [deed.from, this.names.get(deed.to)],
          [deed.to, this.names.get(deed.from)],
        ]);
        break;
    }
  }

  #ofEach(file: number, effect: (content: ContentStory) => void): void {
    for (const { content } of this.#files.get(file)!) effect(content);
  }

  #change(changes: readonly (readonly [name: string, file: number | undefined])[], settles?: number): void {
    const names = new Map(this.names);
    const index = this.#dropped + this.#names.length;
    for (const [name, file] of changes) {
      const before = names.get(name);
      if (before !== undefined) this.#lastNamed.set(before, index);
      if (file === undefined) names.delete(name);
      else {
        names.set(name, file);
        this.#lastNamed.set(file, index);
      }
    }
    this.#names.push(names);
    this.#each.push(names);
    if (settles === undefined) return;
    // Whoever sees the name sees what was in the file then.
    const content = this.contentOf(settles).copy();
    content.synced();
    this.#files.get(settles)!.push({ from: index, content });
  }

  #namesSynced(index: number): void {
    if (index <= this.#dropped) return;
    this.#names = this.#names.slice(index - this.#dropped);
    this.#dropped = index;
  }

  #nameSynced(file: number): void {
    const index = this.#lastNamed.get(file)!;
    const first = this.#dropped + this.#names.length - this.#each.length;
    for (const [name, named] of this.#each[index - first] ?? []) if (named === file) this.#counted.set(name, index - first);
    this.#namesSynced(index);
  }

  #directorySynced(): void {
    const index = this.#dropped + this.#names.length - 1;
    this.#namesSynced(index);
    this.#each = this.#each.slice(-1);
    this.#counted.clear();
    for (const [file, contents] of this.#files) {
      const first = contents.findLastIndex(({ from }) => from <= index);
      if (first > 0) this.#files.set(file, contents.slice(first));
    }
  }

  /**
   * What is wrong with what is there; undefined: nothing.
   * @param loss nothing may be lost; the last of what was not synced; or any of it, where the host that served the volume died and the program went on at the next one, and heard of it at last.
   */
  problem(names: ReadonlyMap<string, number>, contentOf: (name: string) => Buffer, loss: Loss): string | undefined {
    const exact = loss === 'nothing';
    if (this.failure?.endsWith(untold) === true) return this.failure;
    const known = new Map([...this.#inodes].map(([file, inode]) => [inode, file]));
    const seen = [...names].map(([name, inode]) => `${name}=${known.get(inode) ?? '?'}`).sort();
    const states = exact ? this.#names.slice(-1) : this.#names;
    const show = (state: Names): string =>
      [...state]
        .map(([name, file]) => `${name}=${this.#inodes.has(file) ? file : '?'}`)
        .sort()
        .join(' ');
    if (loss === 'any') return this.#problemOfEach(names, known, contentOf);
    const fits = states.findIndex((state) => show(state) === seen.join(' '));
    if (fits < 0) return `the names are ${seen.join(' ')} and not one of\n${states.map(show).join('\n')}`;
    for (const [name, inode] of names) {
      const file = known.get(inode);
      if (file === undefined) continue;
      const { content } = this.#files.get(file)!.findLast(({ from }) => from <= this.#dropped + fits)!;
      const problem = content.problem(contentOf(name), exact);
      if (problem !== undefined) return `${name}, file ${file}: ${problem}`;
    }
    return undefined;
  }

  /** Each name and each content by itself is as it was at some time since it was synced. */
  #problemOfEach(names: ReadonlyMap<string, number>, known: ReadonlyMap<number, number>, contentOf: (name: string) => Buffer): string | undefined {
    for (const name of new Set([...names.keys(), ...this.#each.flatMap((state) => [...state.keys()])])) {
      const inode = names.get(name);
      const file = inode === undefined ? undefined : known.get(inode);
      const may = this.#each.slice(this.#counted.get(name)).map((state) => state.get(name));
      // A file whose making was answered by nobody has no number here.
      if (inode !== undefined && file === undefined && may.some((each) => each !== undefined && !this.#inodes.has(each))) continue;
      if (!may.includes(file)) return `${name} is file ${file ?? 'none'} and not one of ${may.map((each) => each ?? 'none').join(', ')}`;
      if (file === undefined) continue;
      const problems = this.#files.get(file)!.map(({ content }) => content.problem(contentOf(name), false));
      if (!problems.includes(undefined)) return `${name}, file ${file}: ${problems.at(-1)}`;
    }
    return undefined;
  }
}
