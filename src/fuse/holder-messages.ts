import type { SavedInit } from './wire/index.ts';

/** A mount that a holder keeps for the daemon. */
export interface AdoptedMount {
  readonly volume: string;
  /** The volume's id; absent where the daemon of an earlier version did not say. */
  readonly id?: string | undefined;
  /** The /dev/fuse descriptor, by the daemon's number. */
  readonly fd: number;
  readonly mountPoint: string;
  readonly connection: number;
  /** Memory that is kept with it, by the daemon's number. */
  readonly memory?: number | undefined;
  /** The latest agreement with the kernel, as the session's `ready` gave it. */
  readonly init: SavedInit;
}

/** Set for a daemon that runs under a holder. */
export const holderVariable = 'INFINIT_HOLDER';

/** What a daemon tells its holder. */
export type ToHolder =
  /** The first message of each daemon; later, which mounts are kept? */
  | { readonly type: 'hello' }
  /** Keep this one too; again with the same descriptor: its agreement is new. */
  | { readonly type: 'register'; readonly mount: AdoptedMount }
  | { readonly type: 'release'; readonly fd: number };

/** What a holder tells its daemon. */
export type FromHolder =
  /** The answer to `hello`: mounts that are kept. To the first: those of an earlier daemon, already among this one's descriptors. */
  | { readonly type: 'inherit'; readonly mounts: readonly AdoptedMount[] }
  /** A mount that could not be kept: it will not outlive the daemon. */
  | { readonly type: 'refused'; readonly volume: string; readonly reason: string };
