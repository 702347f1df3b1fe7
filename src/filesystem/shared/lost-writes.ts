import { FileSystemError } from '../file-system.ts';

/** What is still to be said of a loss: once when a file is closed, once when it is made durable. */
export interface Loss {
  close: boolean;
  sync: boolean;
  readonly error: FileSystemError;
}

/** A file that was open when something of it was lost. */
export interface LossWitness {
  readonly inode: number;
  /** What its program has not heard yet. */
  loss?: Loss | undefined;
}

/**
 * What this host's programs were told is written, had not synced, and is gone, with the lease or with a daemon. As with Linux's own files whoever had the
 * file open hears of it at the next sync, each of them, and so does the first who comes later; a close says it too, but takes it from nobody: shells ignore what a close says.
 */
export class LostWrites {
  readonly #unsaid = new Map<number, Loss>();
  /** Lost with the process before this one: files that were open then become known as they are used. Bounded by what that one had unsynced. */
  readonly #inherited = new Set<number>();
  readonly #onSaid: (inode: number) => void;
  /** Likewise, of any file. */
  #anyInherited = false;
  /** Something was lost since the last sync of the whole. */
  #some = false;

  /** @param onSaid told when a sync has said of an inode what was lost. */
  constructor(onSaid: (inode: number) => void) {
    this.#onSaid = onSaid;
  }

  /** @param open all files that are open. */
  add(inodes: Iterable<number>, open: Iterable<LossWitness>, error = movedAway()): void {
    const lost = new Set(inodes);
    if (lost.size === 0) return;
    this.#some = true;
    for (const inode of lost) this.#unsaid.set(inode, { close: true, sync: true, error });
    for (const witness of open) if (lost.has(witness.inode)) witness.loss = { close: true, sync: true, error };
  }

  /** Lost with the process before this one. */
  inherit(inodes: Iterable<number>): void {
    const lost = [...inodes];
    this.add(lost, []);
    for (const inode of lost) this.#inherited.add(inode);
  }

  /** As {@link inherit}, where nobody knows of which files. */
  inheritAny(): void {
    this.#some = true;
    this.#anyInherited = true;
  }

  /** The file was open before this process was. */
  wasOpen(witness: LossWitness): void {
    if (this.#anyInherited || this.#inherited.has(witness.inode)) witness.loss = { close: true, sync: true, error: movedAway() };
  }

  /** @throws FileSystemError what became of it, for whoever has not heard it. */
  say(inode: number, witness: LossWitness | undefined, at: 'close' | 'sync'): void {
    const losses = [this.#unsaid.get(inode), witness?.loss].filter((loss) => loss?.[at] === true);
    if (losses.length === 0) return;
    for (const loss of losses) loss![at] = false;
    if (at === 'sync' && this.#unsaid.delete(inode)) this.#onSaid(inode);
    throw losses[0]!.error;
  }

  /** As {@link say}, for a sync of everything. */
  sayAll(): void {
    if (!this.#some) return;
    this.#some = false;
    throw movedAway();
  }
}

function movedAway(): FileSystemError {
  return new FileSystemError('EIO', 'writes or locks were lost when the volume went to another host');
}
