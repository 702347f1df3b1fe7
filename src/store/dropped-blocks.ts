import type { Address } from '../block/index.ts';

/** How long a removal is remembered, in ms: longer than a copy that was sent before it may be under way. */
const rememberMs = 10 * 60_000;
/** Removals remembered at once; older ones go first. */
const maxRemembered = 65_536;

/** Immutable blocks that were lately removed here: a copy that repair or a reader still carries must not bring them back. */
export class DroppedBlocks {
  readonly #at = new Map<Address, number>();

  add(addresses: readonly Address[]): void {
    const now = performance.now();
    for (const address of addresses) {
      this.#at.delete(address);
      this.#at.set(address, now);
      if (this.#at.size > maxRemembered) this.#at.delete(this.#at.keys().next().value!);
    }
  }

  /** Somebody writes the same bytes again, on purpose. */
  forget(address: Address): void {
    if (this.#at.size > 0) this.#at.delete(address);
  }

  has(address: Address): boolean {
    const at = this.#at.get(address);
    return at !== undefined && performance.now() - at < rememberMs;
  }
}
