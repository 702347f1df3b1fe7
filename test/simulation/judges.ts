import { type Accepted, type Ballot, type BlockRecord, compareBallots, formatBallot, type Request } from '../../src/consensus/index.ts';
import type { Host } from './host.ts';
import type { Operation as Observed } from './linearizability.ts';
import type { World } from './world.ts';

/** A promise of the protocol that was broken; the run stops there. */
export class Violation extends Error {
  readonly judge: string;

  constructor(judge: string, message: string) {
    super(`${judge}: ${message}`);
    this.name = 'Violation';
    this.judge = judge;
  }
}

interface Meaning {
  readonly ballot: Ballot;
  readonly record: BlockRecord;
}

/** More than any run has. */
const maxHosts = 64;

/** Watches a run: what was chosen, who holds leases, what clients were told. */
export class Judges {
  readonly history: Observed[] = [];
  /** Somebody who asked from then on is told that there is no such block: a client of a host, or, where that is absent, whoever tends blocks. */
  onAbsent: (block: string, beganAt: number, host: Host | undefined) => void = () => {};
  /** A host forgets that a block went on elsewhere. */
  onPointerForgotten: (block: string, host: Host, record: BlockRecord) => void = () => {};
  readonly #world: World;
  /** The highest record of each block that somebody knew to be chosen. */
  readonly #chosen = new Map<string, Accepted>();
  /** Where blocks are salvaged, all such records, oldest first. */
  readonly #earlier = new Map<string, readonly Accepted[]>();
  /** How often a host came to hold a lease of a block. */
  readonly #leasings = new Map<string, number>();
  /** What each ballot stands for, by round and peer. */
  readonly #meanings = new Map<string, Map<number, Meaning[]>>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A proposer learnt that a record is chosen: nobody may read less from memory any longer. */
  chosen(block: string, accepted: Accepted): void {
    const known = this.#chosen.get(block);
    if (known !== undefined && compareBallots(accepted.ballot, known.ballot) <= 0) return;
    this.#chosen.set(block, accepted);
    if (this.#world.settings.salvage) this.#earlier.set(block, [...(this.#earlier.get(block) ?? []), accepted]);
    for (const host of this.#world.left) {
      const local = host.up ? host.holder.read(block, host.clock) : undefined;
      if (local === undefined || local.record.version >= accepted.record.version) continue;
      throw new Violation(
        'lease freshness',
        `${host.name} trusts version ${local.record.version} of ${block} while version ${accepted.record.version} is chosen`,
      );
    }
  }

  /** The newest record of a block that somebody knew to be chosen. */
  chosenOf(block: string): Accepted | undefined {
    return this.#chosen.get(block);
  }

  /** The newest record of a block that somebody knew to be chosen, no newer than that ballot. */
  chosenUpTo(block: string, ballot: Ballot): Accepted | undefined {
    return this.#earlier.get(block)?.findLast((accepted) => compareBallots(accepted.ballot, ballot) <= 0);
  }

  /** A host holds a lease from now on: nobody else may hold one that excludes it. */
  leased(by: Host, block: string): void {
    this.#leasings.set(`${by.name} ${block}`, this.leasings(by, block) + 1);
    const exclusive = by.holder.holdsExclusive(block, by.clock);
    for (const host of this.#world.left) {
      if (host === by || !host.up) continue;
      const other = host.holder.holdsExclusive(block, host.clock);
      if (other || (exclusive && host.holder.read(block, host.clock) !== undefined)) {
        throw new Violation(
          'lease exclusivity',
          `${by.name} (${exclusive ? 'exclusive' : 'shared'}) and ${host.name} (${other ? 'exclusive' : 'shared'}) hold ${block} at once`,
        );
      }
    }
  }

  leasings(by: Host, block: string): number {
    return this.#leasings.get(`${by.name} ${block}`) ?? 0;
  }

  /** An acceptor accepted something: one ballot stands for one value. */
  accepted(request: Request): void {
    if (request.type !== 'accept') return;
    const { block, ballot, record } = request;
    let meanings = this.#meanings.get(block);
    if (meanings === undefined) this.#meanings.set(block, (meanings = new Map<number, Meaning[]>()));
    const key = ballot.round * maxHosts + this.#world.indexOf(ballot.peer);
    const known = meanings.get(key);
    const same = known?.find((meaning) => compareBallots(meaning.ballot, ballot) === 0);
    if (same === undefined) {
      if (known === undefined) meanings.set(key, [{ ballot, record }]);
      else known.push({ ballot, record });
    } else if (same.record !== record && describe(same.record) !== describe(record)) {
      throw new Violation('ballot reuse', `${formatBallot(ballot)} of ${block} stands for ${describe(same.record)} and for ${describe(record)}`);
    }
  }

  /** Whether no replica has accepted anything newer: housekeeping may have gone on since a read. */
  isNewest(block: string, accepted: Accepted): boolean {
    const { replicas } = accepted.record;
    return this.#world.left.every(
      (host) => !replicas.includes(host.name) || compareBallots(host.stateOf(block)?.accepted?.ballot ?? null, accepted.ballot) <= 0,
    );
  }

  /** After quiescence: replicas that hold the same ballot hold the same bytes, and a majority holds the newest. */
  agreement(block: string, newest: Accepted): void {
    const { replicas } = newest.record;
    let holders = 0;
    for (const host of this.#world.left) {
      const accepted = host.stateOf(block)?.accepted ?? null;
      const order = accepted === null ? -1 : compareBallots(accepted.ballot, newest.ballot);
      if (order === 0 && replicas.includes(host.name)) holders++;
      if (order !== 0 || accepted!.pointer) continue;
      if (!sameBytes(accepted!.record.value, newest.record.value))
        throw new Violation('agreement', `${host.name} holds other bytes of ${block} at the same ballot`);
    }
    // A tombstone may have been forgotten meanwhile.
    if (newest.record.value !== null && holders * 2 <= replicas.length)
      throw new Violation('agreement', `only ${holders} of ${replicas.join('')} hold the newest record of ${block}`);
  }
}

function describe({ version, epoch, previous, unsettled, origin }: BlockRecord): string {
  return `v${version} e${epoch} ${previous.length} ${unsettled.length} ${formatBallot({ round: version, ...origin })}`;
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === b || (a !== null && b !== null && Buffer.compare(a, b) === 0);
}
