import type { MessagePort } from 'node:worker_threads';

import type { TypedVolumeOptions } from '../api/index.ts';
import type { ErrorCode, LogLevel } from '../base/index.ts';
import type { SavedInit } from '../fuse/index.ts';

/** What a volume's worker thread is started with. */
export interface VolumeWorkerData {
  readonly name: string;
  readonly volumeId: string;
  readonly session: number;
  /** 32 bytes; undefined for the plain suite. */
  readonly key: Uint8Array | undefined;
  readonly options: TypedVolumeOptions;
  /** The /dev/fuse descriptor of this process. */
  readonly descriptor: number;
  /** The answer to FUSE_INIT that an earlier daemon gave, where this mount outlived it. */
  readonly adopted: SavedInit | undefined;
  /** To the block store in the main thread. */
  readonly store: MessagePort;
  readonly dirtyFile: string;
  readonly logLevel: LogLevel;
}

/** Main thread → worker. */
export type VolumeCommand = { readonly type: 'stop' } | { readonly type: 'usage'; readonly id: number };

/** Worker → main thread. */
export type VolumeEvent =
  /** The kernel was answered; `init` is what a later daemon needs to take the mount over. */
  | { readonly type: 'ready'; readonly init: SavedInit }
  | { readonly type: 'usage'; readonly id: number; readonly usedBytes: number; readonly sizeBytes: number; readonly inodes: number }
  /** The mount ended (unmounted, aborted, stopped) and everything was written out, or `error` says what was not. */
  | { readonly type: 'closed'; readonly reason: string; readonly error?: { readonly code: ErrorCode; readonly message: string } };
