import { codeOf } from '../../base/index.ts';
import type { MaybePromise } from '../file-system.ts';
import { Moved } from './backing.ts';
import type { Borrowing } from './borrowing.ts';
import type { HolderLink } from './holder-link.ts';

/** Files of which the name is remembered. */
const maxKnown = 4096;

interface KnownName {
  readonly name: string;
  /** As long as this loan is good nobody else can have changed the file. */
  readonly loan: string;
}

/** What the host that serves the volume calls the time in which nobody else changed a file that this guest's programs map: see `MappedFiles`. */
export class GuestMappings {
  readonly #holder: HolderLink;
  readonly #borrowing: Borrowing;
  readonly #known = new Map<number, KnownName>();
  /** The host of this generation has no such names. */
  #withoutNames: number | undefined;

  constructor(holder: HolderLink, borrowing: Borrowing) {
    this.#holder = holder;
    this.#borrowing = borrowing;
  }

  /** undefined: there is none. */
  name(inode: number): MaybePromise<string | undefined> {
    if (this.#holder.backing?.kind === 'local') return undefined;
    const known = this.#known.get(inode);
    if (known !== undefined && known.loan === this.#borrowing.loanOf(inode)) return known.name;
    this.#known.delete(inode);
    return this.#ask(inode).catch(() => undefined);
  }

  async #ask(inode: number): Promise<string | undefined> {
    for (;;) {
      const generation = await this.#holder.ready();
      if (this.#holder.backing?.kind !== 'remote' || generation === this.#withoutNames) return undefined;
      const loan = this.#borrowing.loanOf(inode);
      try {
        const name = await this.#holder.callIn<string>(generation, 'mapped', [inode]);
        if (loan !== undefined && loan === this.#borrowing.loanOf(inode)) this.#learn(inode, { name, loan });
        return name;
      } catch (error) {
        // The same host may have let this one in again, which it had taken for lost.
        if (error instanceof Moved) continue;
        // So says one of an earlier version.
        if (codeOf(error) === 'bad-argument') this.#withoutNames = generation;
        throw error;
      }
    }
  }

  #learn(inode: number, known: KnownName): void {
    if (this.#known.size >= maxKnown) this.#known.clear();
    this.#known.set(inode, known);
  }
}
