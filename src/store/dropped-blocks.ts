import type { Address } from '../block/index.ts';

/** How long a removal is remembered at the least, in ms: longer than a copy that was sent before it may be under way. Twice as long at the most. */
const rememberMs = 10 * 60_000;
/** Removals remembered at once; older ones go first, half of them at a time. */
const maxRemembered = 131_072;

/**
 * Immutable blocks that were lately removed here: a copy that repair or a reader still carries must not bring them back. Two generations, of which
 * the older one is forgotten whole: after a large removal no memory stays, and no step walks over what was taken out.
 */
export class DroppedBlocks {
  readonly #half: number;
  readonly #ms: number;
  #young = new Set<Address>();
  #old = new Set<Address>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ max = maxRemembered, ms = rememberMs }: { readonly max?: number; readonly ms?: number } = {}) {
    this.#half = Math.max(1, Math.floor(max / 2));
    this.#ms = ms;
  }

  /** Removals remembered at the moment. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  add(addresses: readonly Address[]): void {
    for (const address of addresses) {
      this.#young.add(address);
      if (this.#young.size >= this.#half) this.#age();
    }
    if (this.size > 0) this.#timer ??= setTimeout(() => this.#age(), this.#ms).unref();
  }

  /** Somebody writes the same bytes again, on purpose. */
  forget(address: Address): void {
    this.#young.delete(address);
    this.#old.delete(address);
  }

  has(address: Address): boolean {
    return this.#young.has(address) || this.#old.has(address);
  }

  #age(): void {
    clearTimeout(this.#timer);
    this.#old = this.#young;
    this.#young = new Set();
    this.#timer = this.#old.size === 0 ? undefined : setTimeout(() => this.#age(), this.#ms).unref();
  }
}
