import type { Standpoint } from './standpoint.ts';

/** Whether hosts came or went, or the roster changed: what was out of reach before may be tried again. */
export class Changes implements Disposable {
  #next = new AbortController();
  readonly #stops: readonly (() => void)[];

  constructor({ transport, views }: Pick<Standpoint, 'transport' | 'views'>) {
    const changed = (): void => this.#next.abort();
    this.#stops = [transport.onPeerUp(changed), transport.onPeerDown(changed), views.onChange(changed)];
  }

  /** Aborted at the first change since the last {@link forget}. */
  get signal(): AbortSignal {
    return this.#next.signal;
  }

  /** A try begins that takes what changed so far into account. */
  forget(): void {
    if (this.#next.signal.aborted) this.#next = new AbortController();
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
  }
}
