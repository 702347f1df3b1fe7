import type { MessagePort } from 'node:worker_threads';

import type { TypedVolumeOptions } from '../../api/index.ts';
import type { ErrorCode, LogLevel } from '../../base/index.ts';
import type { Awaited, GrantKey, LostLocksNotice, OwnedBlock, UnreadNotice } from '../../filesystem/index.ts';
import type { SavedInit } from '../../fuse/index.ts';

/** What a volume's worker thread is started with. */
export interface VolumeWorkerData {
  readonly name: string;
  readonly volumeId: string;
  /** Number of this mount; in a cluster each role as holder has its own. */
  readonly session: number;
  /** 32 bytes; undefined for the plain suite. */
  readonly key: Uint8Array | undefined;
  readonly options: TypedVolumeOptions;
  /** The /dev/fuse descriptor of this process. */
  readonly descriptor: number;
  /** Where what is not durable outlives this process: a descriptor of this process. */
  readonly memory: number | undefined;
  /** The answer to FUSE_INIT that an earlier daemon gave, where this mount outlived it. */
  readonly adopted: SavedInit | undefined;
  /** To the block store in the main thread; undefined in a cluster, where each opening of the volume has a way of its own. */
  readonly store: MessagePort | undefined;
  readonly dirtyFile: string;
  /** What the next daemon of the mount is to know of its programs' locks. */
  readonly locksFile: string;
  /** What the store still takes, in bytes: one float, kept current by the main thread. */
  readonly freeBytes: SharedArrayBuffer;
  readonly logLevel: LogLevel;
  /** Keep processors awake while requests flow. */
  readonly keepAwake: boolean;
  /** In a cluster. */
  readonly shared: { readonly self: string } | undefined;
}

/** What the main thread wants to know of a volume; a guest of another host answers `undefined` to what only the holder knows. */
export type VolumeQuestion =
  | { readonly kind: 'usage' }
  /** Write out what is in memory; a guest has nothing. */
  | { readonly kind: 'sync' }
  /** Which of these blocks nothing refers to. */
  | { readonly kind: 'unreferenced'; readonly blocks: readonly OwnedBlock[] }
  | { readonly kind: 'check'; readonly repair: boolean };

/** In a cluster: the lease is this host's, and the worker is to open the volume, anew where it has it open: others may have changed everything. */
export interface OpenCommand {
  readonly type: 'holder';
  /** Number of this role as holder. */
  readonly session: number;
  /** Hosts in reach whose programs may have locks. Until they have taken them again only locks are given that were held before. */
  readonly awaited: readonly string[];
  /** Hosts that are lost, and how long from now on they may come back and take theirs again. */
  readonly lost: readonly Awaited[];
  /** Hosts that have lost what they had locked and do not know it, this one perhaps. */
  readonly dismissed?: readonly string[];
  /** No other host has the volume mounted, as far as is known. */
  readonly alone: boolean;
  /** A daemon of this host before this one served it until it died: guests may have something in memory of that. */
  readonly inherited: boolean;
  /** To the block store in the main thread, for what is opened now alone. */
  readonly store: MessagePort;
  /** Until when what is opened now may be used, and no longer: a `Tenure`'s. */
  readonly tenure: SharedArrayBuffer;
}

/** Main thread → worker. */
export type VolumeCommand =
  | { readonly type: 'stop' }
  | { readonly type: 'ask-volume'; readonly id: number; readonly question: VolumeQuestion }
  /** The quota changed; 0: none. */
  | { readonly type: 'resize'; readonly sizeBytes: number }
  | OpenCommand
  /** In a cluster: another host has the volume open. */
  | { readonly type: 'guest'; readonly store: MessagePort }
  /** To the holder: no other host has it mounted any more, as far as is known. */
  | { readonly type: 'alone' }
  /** An operation that another host asks for. */
  | { readonly type: 'serve'; readonly id: number; readonly peer: string; readonly call: Uint8Array }
  /** The host that serves the volume asks these back. */
  | { readonly type: 'recall'; readonly id: number; readonly keys: readonly GrantKey[] }
  /** A guest has given up what it was asked for, or (`heard` false) was not heard. */
  | { readonly type: 'given-up'; readonly id: number; readonly heard: boolean }
  /** That host is not heard, and will be, or dismissed; or it is heard again. */
  | { readonly type: 'silence'; readonly peer: string; readonly over: boolean }
  /** The next host that serves the volume will know of an `unheard` one. */
  | { readonly type: 'noted'; readonly id: number }
  /** That host is gone. */
  | { readonly type: 'dismiss'; readonly peer: string }
  /** The answer to an `ask`. */
  | { readonly type: 'answer'; readonly id: number; readonly answer: Uint8Array }
  | { readonly type: 'answer'; readonly id: number; readonly code: ErrorCode; readonly message: string };

/** Worker → main thread. */
export type VolumeEvent =
  /** The kernel was answered; `init` is what a later daemon needs to take the mount over. */
  | { readonly type: 'ready'; readonly init: SavedInit }
  /** The answer to an `ask-volume`. */
  | { readonly type: 'told'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'told'; readonly id: number; readonly code: ErrorCode; readonly message: string }
  /** Inodes of the volume, which is open here, that cannot be read for now; undefined: none. */
  | { readonly type: 'unread'; readonly notice: UnreadNotice | undefined }
  /** In a cluster: programs of this host have lost locks and do not know it, so that nothing can be changed from here; undefined: none any more. */
  | { readonly type: 'fenced'; readonly notice: LostLocksNotice | undefined }
  /** In a cluster: an operation for the host that has the volume open. */
  | { readonly type: 'ask'; readonly id: number; readonly call: Uint8Array }
  | { readonly type: 'served'; readonly id: number; readonly answer: Uint8Array }
  /** That host knows which locks it has. */
  | { readonly type: 'greeted'; readonly peer: string }
  /** That host has not said in time which locks it has: others may have them once that is noted. */
  | { readonly type: 'unheard'; readonly id: number; readonly peer: string }
  /** To the host that serves the volume: what it asked back is forgotten. */
  | { readonly type: 'recalled'; readonly id: number }
  /** To a guest: it is to forget these. */
  | { readonly type: 'ask-back'; readonly id: number; readonly peer: string; readonly keys: readonly GrantKey[] }
  /** In a cluster: the lease is ours, but the volume could not be opened as this session, or a later session has written to it: it is to be opened as another. */
  | { readonly type: 'not-opened'; readonly session: number; readonly code: ErrorCode; readonly message: string }
  /** It is open as this session. */
  | { readonly type: 'opened'; readonly session: number }
  /** The mount ended (unmounted, aborted, stopped) and everything was written out, or `error` says what was not. */
  | { readonly type: 'closed'; readonly reason: string; readonly error?: { readonly code: ErrorCode; readonly message: string } };
