import type { Logger, Moment } from '../../base/index.ts';
import type { Sealer } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';
import type { FileSystem } from '../file-system.ts';
import type { Lending } from '../lending.ts';
import type { Volume } from '../volume.ts';
import type { BlockReader } from './block-reader.ts';
import type { Granted, SharedMethod } from './calls.ts';
import type { Grants } from './grants.ts';
import type { Question } from './question.ts';

/** Where a guest puts the blocks of what its programs write. */
export interface GuestStore {
  readonly store: BlockStore;
  readonly sealer: Sealer;
  readonly volumeId: string;
  readonly logger: Logger;
}

/** Who does the work: the volume opened in this very thread, or the host that has it open. */
export type Backing =
  /** `grace`: until then only what was locked before may be locked; `names`: and no names be made. */
  | {
      readonly kind: 'local';
      readonly volume: FileSystem & Partial<Pick<Volume, 'append' | 'calls' | 'callOutcome' | 'entry' | 'isMade' | 'remake'>>;
      readonly grace: Promise<void>;
      readonly names?: Promise<void> | undefined;
      readonly lending?: Lending;
      /** What others may have in memory of it, this host's kernel among them. */
      readonly grants?: Grants;
    }
  | { readonly kind: 'remote'; readonly ask: (call: Uint8Array) => Promise<Uint8Array>; readonly blocks?: BlockReader; readonly writes?: GuestStore };

/** What a host that begins to serve is told. */
export interface Greeting {
  /** Before all that follows; undefined: there is nothing to be made. */
  makeAgain(backing: Backing): Promise<void> | undefined;
  /** Before anything else is asked of it. */
  lockAgain(backing: Backing): Promise<void>;
  /** Until it has heard that that was all, and has said what it remembers. */
  saying(): Promise<void> | undefined;
  openAgain(backing: Backing): Promise<void>;
  /** Before each attempt to do something. @throws FileSystemError where it would change something, and a program has lost a lock. */
  requireLocks(method: SharedMethod, args: readonly unknown[]): void;
  /** Before these are removed, perhaps: what is open of them and was not said yet. */
  openUnsaid(inodes: readonly number[]): Promise<void>;
}

/** What an operation comes to, whoever does it. */
export type ResultOf<M extends SharedMethod> = M extends keyof FileSystem
  ? Awaited<ReturnType<NonNullable<FileSystem[M]>>>
  : M extends 'append'
    ? number
    : unknown;

/** Told of an answer and of what of it may be kept in memory. */
export type Learn<T> = (question: Question, value: T, granted: Granted, asked: Moment) => void;

/** What an operation came to, and in which generation. */
export interface Done<T> {
  readonly value: T;
  readonly generation: number;
  /** Another host did it. */
  readonly isRemote: boolean;
}

/** The lease moved, and what was asked for makes sense only where it was. */
export class Moved extends Error {}
