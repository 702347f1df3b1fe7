import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, InfinitError, type Logger } from '../src/base/index.ts';
import type { Membership } from '../src/api/index.ts';

/**
 * How long a question about an unknown volume waits for this host to be let into its cluster, in ms: well under the 60 s of the engine, which is
 * to have its answer also if that was in vain.
 */
export const joinPatienceMs = 20_000;

/** Between two attempts to learn whether a volume exists, in ms. */
const retryMs = 250;

/** What the engine calls a volume without a name. Nobody asks for such a name to find a volume that another host has. */
const anonymous = /^[0-9a-f]{64}$/;

/** A volume that may exist, as it is shown to the engine. */
export interface ExpectedVolume {
  readonly Name: string;
  readonly Status: Readonly<Record<string, unknown>>;
}

/**
 * What the engine is told on a host that is not, or not yet, let into its cluster. For a name without a driver the engine asks every driver, takes
 * any failure to answer for "no", and makes a local volume: data would land there and the cluster's volume of that name be hidden. So such a question
 * waits for a while; if it is in vain the answer is that there is a volume, which then cannot be mounted. The name stays expected until
 * the volume is made, found or removed: the engine would make the local one at its next question otherwise.
 */
export class Outside {
  readonly #membership: Membership;
  readonly #logger: Logger;
  readonly #patienceMs: number;

  constructor(membership: Membership, logger: Logger, patienceMs = joinPatienceMs) {
    this.#membership = membership;
    this.#logger = logger;
    this.#patienceMs = patienceMs;
  }

  get isOutside(): boolean {
    return this.#membership.whyOutside() !== undefined;
  }

  /** Waits for this host to be let in, if there is hope. The volume to show if that is in vain; undefined: ask the cluster. */
  async expect(name: string): Promise<ExpectedVolume | undefined> {
    if (!this.isOutside) return undefined;
    if (this.isExpected(name)) return this.shown(name);
    await this.#membership.whenInside(AbortSignal.timeout(this.#patienceMs)).catch(() => {});
    const why = this.#membership.whyOutside();
    if (why === undefined) return undefined;
    this.#logger.warn('Docker asks for a volume, and this host is no member of its cluster: it is told that it cannot be had', { volume: name, why });
    try {
      await this.#membership.expected.add(name);
    } catch (error) {
      // It is remembered until a restart. No answer would make the local volume.
      this.#logger.error('a name that Docker asked for cannot be written down', { volume: name, error });
    }
    return this.shown(name);
  }

  /**
   * Asks until the cluster can say, for as long as such a question waits: hosts that start or are cut off for a moment find each other meanwhile,
   * and a question without an answer ends in a local volume.
   * @throws InfinitError what the last attempt did.
   */
  async patiently<T>(ask: () => Promise<T>): Promise<T> {
    const until = performance.now() + this.#patienceMs;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (codeOf(error) !== 'unavailable' || performance.now() > until) throw error;
        await sleep(retryMs);
      }
    }
  }

  /** Whether a name can only be one that this host makes itself. */
  isNew(name: string): boolean {
    return this.isOutside && anonymous.test(name);
  }

  isExpected(name: string): boolean {
    return this.#membership.expected.has(name);
  }

  expected(): readonly ExpectedVolume[] {
    return this.#membership.expected.list().map((name) => this.shown(name));
  }

  forget(name: string): Promise<void> {
    return this.#membership.expected.delete(name);
  }

  shown(name: string): ExpectedVolume {
    return { Name: name, Status: { health: 'UNAVAILABLE', reasons: [this.#why(name)] } };
  }

  /** @throws InfinitError `unavailable` on a host that is no member. */
  check(name: string): void {
    if (this.isOutside) throw new InfinitError('unavailable', this.#why(name));
  }

  /** That an expected volume does not exist. */
  missing(name: string): InfinitError {
    return new InfinitError('not-found', this.#why(name));
  }

  #why(name: string): string {
    const why = this.#membership.whyOutside();
    return why === undefined
      ? `there is no volume "${name}" in the cluster; Docker asked for it before this host was a member. ` +
          `\`infinit volume create ${name}\` makes it, \`docker volume rm ${name}\` forgets the name`
      : `volume "${name}" cannot be used, since this host is no member of its cluster: ${why}; see \`infinit doctor\``;
  }
}
