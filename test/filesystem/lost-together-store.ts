import { InfinitError } from '../../src/base/index.ts';
import type { Address } from '../../src/block/index.ts';
import { lossOf, mayBeLost } from '../../src/membership/losses.ts';
import { Roster } from '../../src/placement/index.ts';
import type { CommitResult, Stage, StoredBlock, UpdateOutcome } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** So many of so many hosts were lost for good, three copies each. */
export interface LostHosts {
  readonly lost: number;
  readonly of: number;
}

/**
 * A store of which hosts were lost together: every block has a copy left, and what is not found is told to be lost until a person accepts that, since nobody is left who could tell whether it ever was.
 * An address that somebody drew for a new block is none of these.
 */
export class LostTogetherStore extends MemoryBlockStore {
  /** Whether all who had the block may be gone. */
  mayBeLost: (address: Address) => boolean = () => false;

  loseHosts({ lost, of }: LostHosts): void {
    const hosts = Array.from({ length: of }, (_, index) => ({ peer: `host ${index}`, zone: '', capacity: 1 }));
    const gone = new Set(hosts.slice(0, lost).map(({ peer }) => peer));
    const loss = lossOf({ number: 1, roster: Roster.of(hosts), replicas: 3 }, (peer) => gone.has(peer));
    this.mayBeLost = (address) => mayBeLost({ list: loss === undefined ? [] : [loss], forgiven: 0 }, address);
  }

  /** A person accepts it: what is not there is absent. */
  accept(): void {
    this.mayBeLost = () => false;
  }

  #isLost(address: Address): boolean {
    return this.peek(address) === undefined && this.mayBeLost(address);
  }

  override async fetch(address: Address): Promise<StoredBlock | undefined> {
    const found = await super.fetch(address);
    if (this.#isLost(address)) throw new InfinitError('lost', 'it may be lost with all that had it');
    return found;
  }

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const versions: (readonly number[])[] = [];
    for (const stage of stages) {
      const { update = [] } = stage;
      const lost = update.map(({ address, fresh }) => fresh !== true && this.#isLost(address));
      const result = await super.commit([{ ...stage, update: update.filter((_, index) => !lost[index]) }]);
      if (result.done && !lost.includes(true)) {
        versions.push(...result.versions);
        continue;
      }
      const others = result.done ? result.versions[0]!.map((version): UpdateOutcome => ({ status: 'committed', version })) : [...result.outcomes];
      const outcomes = lost.map((is): UpdateOutcome => (is ? { status: 'failed', code: 'lost', message: 'it may be lost' } : others.shift()!));
      return { done: false, stage: versions.length, outcomes };
    }
    return { done: true, versions, released: true };
  }
}
