import { SeededRandom } from '../../simulation/random.ts';
import { FALLOCATE } from '../posix/syscalls.ts';
import { directBytes, OpenFile, type ReadWay, readWays, writeWays } from './open-file.ts';
import { difference, Shadow } from './shadow.ts';
import { Staging } from './staging.ts';

/** What the world does to a host, at the exerciser's wish, which waits for it. */
export type Event = 'crash' | 'remount' | 'lose' | 'bring';

export interface ExerciseOptions {
  readonly seed: number;
  /** Directories of one file system, each on another host. */
  readonly places: readonly string[];
  /** The largest size of a file; absent: drawn. */
  readonly maxBytes?: number;
  /** What may happen to hosts; absent: nothing. */
  readonly events?: readonly Event[];
  /** How often something does, of all operations. */
  readonly eventShare?: number;
  readonly happen?: (event: Event, place: number) => void;
}

interface Place {
  readonly index: number;
  readonly directory: string;
  readonly files: OpenFile[];
  away: boolean;
}

const fileCount = 2;
const keptLines = 60;
const sizes = [20_000, 300_000, 1_500_000, 5_000_000];
const page = 4096;

/**
 * The file system exerciser, after fsx: random operations on two files, in all ways that there are to read and to change them, from several hosts at once, beside a copy of them in memory.
 * All follows from the seed. With several hosts, programs either take turns under a lock, or change the files as they like, as far as each change is told before the next one.
 */
export class Exerciser implements Disposable {
  readonly #options: ExerciseOptions;
  readonly #random: SeededRandom;
  readonly #maxBytes: number;
  readonly #shadows: readonly Shadow[];
  readonly #places: readonly Place[];
  readonly #staging: Staging;
  readonly #turns: boolean;
  readonly #names: string[];
  #place!: Place;
  #left = 0;
  #step = 0;
  readonly #log: string[] = [];

  constructor(options: ExerciseOptions) {
    this.#options = options;
    const random = (this.#random = new SeededRandom(options.seed));
    this.#maxBytes = options.maxBytes ?? random.pick(sizes);
    this.#turns = options.places.length > 1 && random.chance(0.5);
    this.#staging = new Staging(Math.ceil(this.#maxBytes / page) * page);
    this.#shadows = Array.from({ length: fileCount }, () => new Shadow(this.#maxBytes));
    this.#names = Array.from({ length: fileCount }, (_, index) => `exercised-${options.seed}-${index}`);
    this.#places = options.places.map((directory, index) => ({ index, directory, files: [], away: false }));
    for (const place of this.#places) this.#open(place);
    this.#note(`${this.#maxBytes} bytes at most, ${options.places.length} hosts${this.#turns ? ' in turn' : ''}`);
    this.#turn();
  }

  /** @throws Error that says what differs, and what was done before. */
  run(operations: number): void {
    try {
      for (let count = 0; count < operations; count++) this.#once();
      this.#endTurn();
      for (const place of this.#places) if (place.away) this.#bring(place);
      for (const place of this.#places) this.#compareAll(place);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`seed ${this.#options.seed}, operation ${this.#step}: ${why}\n${this.#log.join('\n')}`, { cause: error });
    }
  }

  [Symbol.dispose](): void {
    for (const place of this.#places) for (const file of place.files) file[Symbol.dispose]();
    this.#staging[Symbol.dispose]();
  }

  #note(what: string): void {
    this.#log.push(`${this.#step} ${what}`);
    if (this.#log.length > keptLines) this.#log.shift();
  }

  #open(place: Place): void {
    if (place.files.length === 0) place.files.push(...this.#names.map((name) => new OpenFile(`${place.directory}/${name}`, this.#staging)));
    else for (const file of place.files) file.open();
  }

  #close(place: Place, lost = false): void {
    for (const file of place.files) file.close(lost);
  }

  get #several(): boolean {
    return this.#places.length > 1;
  }

  /** Another host's turn. */
  #turn(): void {
    this.#place = this.#random.pick(this.#places.filter(({ away }) => !away));
    this.#left = this.#turns ? 1 + this.#random.below(25) : 1;
    if (!this.#turns) return;
    const kind = this.#random.pick(['flock', 'record'] as const);
    this.#note(`turn of ${this.#place.index} (${kind})`);
    for (const file of this.#place.files) file.lock(kind);
  }

  #endTurn(): void {
    if (this.#turns) for (const file of this.#place.files) file.unlock();
    this.#left = 0;
  }

  #once(): void {
    this.#step++;
    if (this.#left === 0) {
      this.#turn();
    }
    const { events = [], eventShare = 0 } = this.#options;
    if (events.length > 0 && this.#random.chance(eventShare)) {
      this.#endTurn();
      this.#event(this.#random.pick(events));
      this.#turn();
    }
    this.#operate();
    if (this.#random.chance(0.1)) this.#look();
    if (--this.#left === 0) this.#endTurn();
  }

  #operate(): void {
    const dice = this.#random.below(100);
    const index = this.#random.below(fileCount);
    const file = this.#place.files[index]!;
    const shadow = this.#shadows[index]!;
    if (dice < 30) this.#write(file, shadow, index);
    else if (dice < 55) this.#read(file, shadow, index);
    else {
      if (this.#several) file.settle();
      if (dice < 62) this.#resize(file, shadow, index);
      else if (dice < 74) this.#allocate(file, shadow, index);
      else if (dice < 81) this.#copy(file, shadow, index);
      else if (dice < 86) this.#seek(file, shadow, index);
      else if (dice < 92) this.#sync(file, index);
      else if (dice < 95) this.#evict(file, index);
      else if (dice < 98) this.#reopen();
      else this.#rename(index);
    }
    const { size } = file;
    if (size !== shadow.size) throw new Error(`file ${index} has ${size} bytes, and not ${shadow.size}`);
  }

  #said(what: string, index: number, ...numbers: readonly (number | string)[]): void {
    this.#note(`${this.#place.index}: ${what} of ${index} ${numbers.join(' ')}`);
  }

  #length(): number {
    return 1 + this.#random.below(this.#random.pick([200, 9000, 140_000, this.#maxBytes]));
  }

  /** A place in the file to begin at, at most `limit`. */
  #offset(limit: number, size: number): number {
    const dice = this.#random.below(10);
    if (dice < 2) return Math.min(limit, size);
    const offset = this.#random.below(1 + (dice < 9 ? Math.min(limit, size) : limit));
    return dice < 5 ? offset - (offset % page) : offset;
  }

  #bytes(length: number, offset: number): Buffer {
    const data = Buffer.alloc(length);
    for (let index = 0; index < length; index++) data[index] = index % 2 === 0 ? 1 + (this.#step % 255) : (offset + index) >>> 8;
    return data;
  }

  #write(file: OpenFile, shadow: Shadow, index: number): void {
    const way = this.#random.pick(writeWays);
    let length = Math.min(this.#length(), this.#maxBytes);
    let offset = this.#offset(this.#maxBytes - length, shadow.size);
    if (way === 'append') {
      length = Math.min(length, this.#maxBytes - shadow.size);
      offset = shadow.size;
    } else if (way === 'direct') {
      offset -= offset % directBytes;
      length = Math.min(Math.ceil(length / directBytes) * directBytes, Math.floor((this.#maxBytes - offset) / directBytes) * directBytes);
    } else if (way === 'mapped') {
      offset = Math.min(offset, Math.max(0, shadow.size - 1));
      length = Math.min(length, shadow.size - offset);
    }
    if (length <= 0) return;
    const keep = this.#keeps();
    this.#said(`write (${way}${keep ? ', kept' : ''})`, index, offset, length);
    if (this.#several && way !== 'mapped') file.settle();
    const data = this.#bytes(length, offset);
    file.write(way, offset, data, shadow.size, keep, this.#several && !(this.#turns && keep));
    shadow.write(offset, data);
  }

  /** What the kernel has of a file that it sends without asking is right where nobody else changes that, or after a lock. */
  get #readWays(): readonly ReadWay[] {
    return this.#several && !this.#turns ? readWays.filter((way) => way !== 'sendfile') : readWays;
  }

  /** A mapping stays where nobody else changes the file meanwhile without a lock. */
  #keeps(): boolean {
    return (!this.#several || this.#turns) && this.#random.chance(0.5);
  }

  #read(file: OpenFile, shadow: Shadow, index: number): void {
    const way = this.#random.pick(this.#readWays);
    let length = Math.min(this.#length(), this.#maxBytes);
    let offset = this.#offset(this.#maxBytes - length, shadow.size);
    if (way === 'direct') {
      offset -= offset % directBytes;
      length = Math.min(Math.ceil(length / directBytes) * directBytes, Math.ceil(this.#maxBytes / page) * page);
    }
    const keep = this.#keeps();
    this.#said(`read (${way}${keep ? ', kept' : ''})`, index, offset, length);
    if (this.#several && way !== 'mapped') file.settle();
    const found = file.read(way, offset, length, shadow.size, keep);
    const problem = difference(found, shadow.at(offset, length), offset);
    if (problem !== undefined) throw new Error(problem);
  }

  #resize(file: OpenFile, shadow: Shadow, index: number): void {
    const size = this.#random.chance(0.2) ? 0 : this.#offset(this.#maxBytes, shadow.size);
    const byName = this.#random.chance(0.3);
    this.#said(`truncate${byName ? ' by name' : ''}`, index, size);
    if (size < shadow.size) file.unmap();
    file.resize(size, byName);
    shadow.resize(size);
  }

  #allocate(file: OpenFile, shadow: Shadow, index: number): void {
    const { KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE } = FALLOCATE;
    const mode = this.#random.pick([0, KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE]);
    const length = Math.min(this.#length(), this.#maxBytes);
    const offset = this.#offset(this.#maxBytes - length, shadow.size);
    this.#said(`fallocate (${mode})`, index, offset, length);
    file.allocate(mode, offset, length);
    if ((mode & (PUNCH_HOLE | ZERO_RANGE)) !== 0) shadow.zero(offset, length);
    if ((mode & KEEP_SIZE) === 0 && offset + length > shadow.size) shadow.resize(offset + length);
  }

  #copy(file: OpenFile, shadow: Shadow, index: number): void {
    const other = this.#random.below(fileCount);
    const offset = this.#offset(this.#maxBytes, shadow.size);
    let length = Math.min(this.#length(), shadow.size - offset);
    const into = this.#shadows[other]!;
    const to = this.#offset(this.#maxBytes, into.size);
    length = Math.min(length, this.#maxBytes - to);
    if (other === index) length = Math.min(length, Math.abs(to - offset));
    if (length <= 0) return;
    this.#said(`copy to ${to} of ${other}`, index, offset, length);
    const target = this.#place.files[other]!;
    if (this.#several) target.settle();
    const copied = file.copyTo(target, offset, to, length);
    if (copied === 0) throw new Error('nothing is copied');
    into.write(to, Buffer.from(shadow.at(offset, copied)));
  }

  /** What is no data is zero. */
  #seek(file: OpenFile, shadow: Shadow, index: number): void {
    this.#said('seek', index);
    let position = 0;
    for (const { start, end } of [...file.data(), { start: shadow.size, end: shadow.size }]) {
      if (end > shadow.size) throw new Error(`data up to ${end}, behind the end`);
      if (!shadow.isZero(position, start)) throw new Error(`a hole from ${position} to ${start}, where something was written`);
      position = end;
    }
  }

  #sync(file: OpenFile, index: number): void {
    const how = this.#random.pick(['fsync', 'fdatasync', 'syncfs'] as const);
    this.#said(how, index);
    file.sync(how);
  }

  #evict(file: OpenFile, index: number): void {
    this.#said('evict', index);
    file.evict();
  }

  #reopen(): void {
    this.#note(`${this.#place.index}: closed and opened`);
    this.#close(this.#place);
    this.#open(this.#place);
  }

  #rename(index: number): void {
    const name = `exercised-${this.#options.seed}-${index}-${this.#step}`;
    this.#said('rename', index, name);
    this.#place.files[index]!.rename(`${this.#place.directory}/${name}`);
    this.#names[index] = name;
    for (const { directory, files } of this.#places) files[index]!.path = `${directory}/${name}`;
  }

  /** All of a file, on some host that may look at it now. */
  #look(): void {
    const place = this.#turns ? this.#place : this.#random.pick(this.#places.filter(({ away }) => !away));
    this.#compare(place, this.#random.below(fileCount));
  }

  #compareAll(place: Place): void {
    for (let index = 0; index < fileCount; index++) this.#compare(place, index);
  }

  #compare(place: Place, index: number): void {
    const [file, { size }] = [place.files[index]!, this.#shadows[index]!];
    if (this.#several) file.settle();
    // Others look as well, without a lock.
    const way = this.#random.pick(this.#several ? (['plain', 'readOnly'] as const) : (['plain', 'readOnly', 'sendfile', 'mapped'] as const));
    this.#note(`${place.index}: all of ${index} (${way})`);
    const problem = difference(file.read(way, 0, this.#maxBytes, size, false), this.#shadows[index]!.at(0, size), 0);
    if (problem !== undefined) throw new Error(problem);
  }

  /** Outside of turns. */
  #event(event: Event): void {
    const { happen } = this.#options;
    const away = this.#places.find((place) => place.away);
    if (event === 'bring' || (event === 'lose' && away !== undefined)) {
      if (away !== undefined) this.#bring(away);
      return;
    }
    const place = this.#random.pick(this.#places.filter((place) => !place.away));
    this.#note(`${event} of ${place.index}`);
    // Of mapped memory only what is written outlives a daemon, and of all else only what is synced a host.
    for (const { files, away } of this.#places)
      for (const file of away ? [] : files) (event === 'lose' ? () => file.sync('fsync') : () => file.settle())();
    if (event === 'remount' || event === 'lose') this.#close(place);
    happen?.(event, place.index);
    if (event === 'lose') {
      place.away = true;
      if (!this.#several) this.#bring(place);
    } else if (event === 'remount') this.#open(place);
    // What is changed in mapped memory of a file that was open before may be refused, and is reported (docs/decisions/kernel-caches.md).
    else if (event === 'crash' && this.#several) {
      this.#close(place);
      this.#open(place);
    }
    for (const each of this.#places) if (!each.away) this.#compareAll(each);
  }

  #bring(place: Place): void {
    this.#note(`bring of ${place.index}`);
    this.#options.happen?.('bring', place.index);
    place.away = false;
    this.#open(place);
    this.#compareAll(place);
  }
}
