import { type Clock, type Moment, momentOf } from '../../base/index.ts';
import type { Attributes, DirectoryEntry } from '../file-system.ts';
import type { Image } from '../inodes/images.ts';
import type { Granted, Lent, SharedMethod } from './calls.ts';
import { effectsOf, namesAfter, type Place } from './effects.ts';
import type { GrantKey } from './grants.ts';
import { type KnownName, Names, NameTable } from './known-names.ts';
import { Question } from './question.ts';
import { type StoredPart, StoredParts } from './stored-parts.ts';

/** Inodes that are kept at the most, and bytes of their contents. */
const maxImages = 16_384;
const maxContentBytes = 32 * 1024 * 1024;
/** How much faster or slower than another a host's clock may run. */
const driftRate = 0.02;

/** An inode as it is, for as long as the cache is good. */
export interface Known extends Image {
  /** The directory through which it was found last. */
  readonly parent?: number | undefined;
}

/** A directory that is being listed part by part. */
export interface Listing {
  readonly directory: number;
  readonly names: Names;
  readonly doubts: number;
  /** Something of it may have changed. */
  broken: boolean;
}

/**
 * What a guest has in memory of a volume, for as long as the host that serves it lets it: that asks it back before it changes. Nothing is answered from here once its time is over by this host's
 * own clocks, of which there are two since one stands still while the machine is suspended, counted from before the question left.
 */
export class GuestCache {
  readonly #clock: Clock;
  /** What was granted under another id is not good. undefined: nothing is kept. */
  #id: string | undefined;
  #untilMs = 0;
  #untilWallMs = 0;
  #used = false;
  readonly #images = new Map<number, Known>();
  /** Of files that have an image alone. */
  readonly #stored = new StoredParts();
  readonly #names = new NameTable();
  #contentBytes = 0;
  readonly #questions = new Set<Question>();
  /** Told of a file that is this host's for now. */
  onLent: ((lent: Lent) => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be taken before a question leaves. */
  moment(): Moment {
    return momentOf(this.#clock);
  }

  /** False until {@link begin}: the host that serves the volume grants nothing, or does not know yet that nothing is kept here. */
  get isOn(): boolean {
    return this.#isGood();
  }

  /** What is granted now is good for as long as this is the same. */
  get grantId(): string | undefined {
    return this.#isGood() ? this.#id : undefined;
  }

  /** How long what is here is good yet, in ms. */
  get leftMs(): number {
    return Math.min(this.#untilMs - this.#clock.monotonicMs(), this.#untilWallMs - this.#clock.wallMs());
  }

  /** Calls that are under way. */
  get questions(): number {
    return this.#questions.size;
  }

  /** Names that they are changing. */
  get changing(): number {
    return this.#names.changing;
  }

  /** Whether anything was answered from here since this was asked last. */
  takeUsed(): boolean {
    const used = this.#used;
    this.#used = false;
    return used;
  }

  /** The host that serves the volume has heard that nothing is kept here, and grants anew. */
  begin(question: Question, { term }: Granted, asked: Moment): void {
    if (question.stale) return;
    for (const other of this.#questions) if (other !== question) other.stale = true;
    this.#drop();
    this.#id = term.id;
    this.#renew(term.ms, asked);
  }

  image(inode: number): Known | undefined {
    const known = this.#images.get(inode);
    if (known === undefined || !this.#isGood()) return undefined;
    this.#used = true;
    return known;
  }

  /** What a name stands for; null: nothing, undefined: that is not known here. */
  lookup(directory: number, name: string): Attributes | null | undefined {
    const inode = this.#names.get(directory)?.get(name);
    if (inode === undefined || !this.#isGood()) return undefined;
    const known = inode === null ? null : this.#images.get(inode);
    if (known === undefined) return undefined;
    this.#used = true;
    if (known !== null && known.parent !== directory) this.#images.set(known.attributes.inode, { ...known, parent: directory });
    return known === null ? null : known.attributes;
  }

  /** The inode that a name stands for; undefined: that is not known here. */
  inodeOf(directory: number, name: string): number | undefined {
    const inode = this.#isGood() ? this.#names.get(directory)?.get(name) : undefined;
    return inode ?? undefined;
  }

  /** What is known of a directory's names. */
  names(directory: number): Names | undefined {
    return this.#names.get(directory);
  }

  /** A call is about to leave. What it changes is forgotten before, and not learnt again while it is under way: its effect may be seen elsewhere at any moment. */
  ask(method: SharedMethod, args: readonly unknown[]): Question {
    const effects = effectsOf(method, args);
    const places = effects?.names ?? [];
    const before = places.map(({ directory, name }) => this.#names.get(directory)?.get(name));
    const question = new Question(
      effects,
      before,
      places.map(({ directory }) => this.#names.get(directory)),
    );
    for (const other of this.#questions) {
      question.spoilBy(other);
      // Which of two changes that are under way comes first is not known.
      other.spoilBy(question);
    }
    for (const inode of question.changed) this.#forget(inode);
    places.forEach(({ name }, index) => question.directories[index]?.begin(name));
    this.#questions.add(question);
    return question;
  }

  /** The answer. */
  learn(question: Question, { term, images = [], empty, lent }: Granted, asked: Moment): void {
    if (question.stale || term.id !== this.#id || !this.#isGood()) return;
    this.#renew(term.ms, asked);
    if (empty !== undefined && !question.spoiled.has(-empty)) this.#names.of(empty).complete = true;
    for (const image of images) if (!question.spoiled.has(image.attributes.inode)) this.#keep(image);
    if (lent !== undefined && !question.spoiled.has(lent.image.attributes.inode)) this.onLent?.(lent);
  }

  /** Where bytes of a file lie in the store, if that is known. */
  storedPart(inode: number, start: number, end: number): StoredPart | undefined {
    return this.image(inode) && this.#stored.find(inode, start, end);
  }

  learnStored(question: Question, inode: number, part: StoredPart): void {
    if (!question.stale && !question.spoiled.has(inode) && this.#images.has(inode)) this.#stored.add(inode, part);
  }

  /** It is not there any more. */
  doubtStored(inode: number, start: number, end: number): void {
    this.#stored.forgetIn(inode, start, end);
  }

  /** A look-up's answer, where the directory's names may be kept. */
  learnName(question: Question, { directory, name }: Place, inode: number | null): void {
    if (this.#mayLearn(question, directory) && !question.spoils({ directory, name })) this.#names.put(this.#names.of(directory), name, inode);
  }

  beginListing(directory: number): Listing {
    const names = this.#names.of(directory);
    return { directory, names, doubts: names.doubts, broken: false };
  }

  /** A part of a directory, the last one, or not to be kept. */
  learnPart(
    question: Question,
    listing: Listing,
    entries: readonly DirectoryEntry[],
    part: { readonly last: boolean; readonly granted: boolean },
  ): void {
    const { directory, names } = listing;
    const may = part.granted && this.#mayLearn(question, directory) && this.#names.get(directory) === names;
    if (!may || question.hasSpoiledNames || names.doubts !== listing.doubts) listing.broken = true;
    if (!may) return;
    for (const { name, inode } of entries)
      if (name !== '.' && name !== '..' && !question.spoils({ directory, name })) this.#names.put(names, name, inode);
    if (part.last && !listing.broken) names.complete = true;
  }

  /** A call that may have changed something is over, and it is known how: `names` as the places of its effects are now. */
  done(question: Question, method: SharedMethod, args: readonly unknown[], result: unknown): void {
    const { effects, directories } = question;
    if (effects === undefined || question.stale) return;
    const after = namesAfter(method, args, result, question.before);
    effects.names.forEach((place, index) => {
      const names = directories[index];
      const now: KnownName = after[index];
      if (now === undefined || names === undefined || this.#names.get(place.directory) !== names) return;
      if (!question.spoiled.has(-place.directory) && !question.spoils(place)) question.outcomes.set(index, now);
    });
  }

  /** Nothing more comes of it. */
  end(question: Question): void {
    this.#questions.delete(question);
    question.effects?.names.forEach(({ name }, index) => {
      const names = question.directories[index];
      if (names === undefined) return;
      const known = question.outcomes.get(index);
      names.end(name, known !== undefined);
      if (known !== undefined) this.#names.put(names, name, known);
    });
  }

  /** The host that serves the volume asks for these back: they are forgotten, and what is on its way of them is of before. */
  recall(keys: readonly GrantKey[]): void {
    for (const key of keys) {
      for (const question of this.#questions) {
        question.spoiled.add(key);
        question.effects?.names.forEach(({ directory }, index) => {
          if (directory === -key) question.outcomes.delete(index);
        });
      }
      if (key > 0) this.#forget(key);
      else this.#names.forget(-key);
    }
  }

  /** Another host serves the volume, or what this one has changed is not known: nothing is kept until {@link begin}. */
  clear(): void {
    for (const question of this.#questions) question.stale = true;
    this.#drop();
  }

  #mayLearn(question: Question, directory: number): boolean {
    return !question.stale && !question.spoiled.has(-directory) && this.#isGood();
  }

  #renew(ms: number, asked: Moment): void {
    const good = (ms * (1 - driftRate)) / (1 + driftRate);
    this.#untilMs = Math.max(this.#untilMs, asked.monotonicMs + good);
    this.#untilWallMs = Math.max(this.#untilWallMs, asked.wallMs + good);
  }

  #drop(): void {
    this.#id = undefined;
    this.#untilMs = this.#untilWallMs = 0;
    this.#images.clear();
    this.#stored.clear();
    this.#names.clear();
    this.#contentBytes = 0;
  }

  #isGood(): boolean {
    if (this.#id === undefined) return false;
    if (this.leftMs > 0) return true;
    // What is on its way may be of before as well.
    this.clear();
    return false;
  }

  #keep(image: Image): void {
    const { inode } = image.attributes;
    // What was known, and where it is stored, is still so, or it would have been asked back.
    const before = this.#images.get(inode);
    this.#images.delete(inode);
    this.#images.set(inode, { ...image, parent: before?.parent });
    this.#contentBytes += (image.content?.length ?? 0) - (before?.content?.length ?? 0);
    while (this.#images.size > maxImages || this.#contentBytes > maxContentBytes) this.#forget(this.#images.keys().next().value!);
  }

  #forget(inode: number): void {
    const known = this.#images.get(inode);
    if (known === undefined) return;
    this.#images.delete(inode);
    this.#stored.forget(inode);
    this.#contentBytes -= known.content?.length ?? 0;
  }
}
