import { InfinitError } from '../base/index.ts';
import { maxRound } from './limits.ts';

/** A host, as the overlay authenticates it. Opaque here: printable ASCII, at most `maxNameLength` characters. */
export type PeerId = string;

/**
 * The number of one attempt to write (Lamport 1998). Totally ordered by round, peer, incarnation, serial, in this order.
 *
 * Never used twice: `serial` counts all ballots of a process, and `incarnation` is raised durably whenever the process starts.
 * So neither an unknown outcome, nor a forgotten hint, nor a restart brings a ballot back with another value.
 */
export interface Ballot {
  readonly round: number;
  readonly peer: PeerId;
  /** Which life of the peer's process. */
  readonly incarnation: number;
  /** Which ballot of that life. */
  readonly serial: number;
}

/** The round of a ballot below all others of its block, which begin above it: there is one such at the most, of whoever is the first to write to the address, once. */
export const lowestRound = 1;

/** Negative where `a` is lower, 0 where they are one, positive where `a` is higher. No ballot at all is the lowest. */
export function compareBallots(a: Ballot | null, b: Ballot | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  if (a.round !== b.round) return a.round - b.round;
  if (a.peer !== b.peer) return a.peer < b.peer ? -1 : 1;
  if (a.incarnation !== b.incarnation) return a.incarnation - b.incarnation;
  return a.serial - b.serial;
}

/** True where both are the same ballot. */
export function sameBallot(a: Ballot | null, b: Ballot | null): boolean {
  return compareBallots(a, b) === 0;
}

/** `3.A#1.7`: for people. */
export function formatBallot(ballot: Ballot | null): string {
  return ballot === null ? '–' : `${ballot.round}.${ballot.peer}#${ballot.incarnation}.${ballot.serial}`;
}

/** Where all ballots of one process come from: one instance a process, whatever the number of blocks. */
export class BallotSource {
  readonly peer: PeerId;
  readonly incarnation: number;
  #serial: number;
  #floor: number;

  /** `incarnation` must be higher than in any earlier life of this peer, and durable before the first ballot leaves. */
  constructor(peer: PeerId, incarnation: number, serial = 0, floor = 0) {
    this.peer = peer;
    this.incarnation = incarnation;
    this.#serial = serial;
    this.#floor = Math.max(floor, lowestRound);
  }

  /** A fresh ballot above the round. @throws InfinitError `unsupported` where rounds ran out, which only a hostile peer brings about. */
  next(aboveRound: number): Ballot {
    return this.of(Math.max(aboveRound, this.#floor) + 1);
  }

  /** As {@link next}; undefined where rounds ran out. */
  tryNext(aboveRound: number): Ballot | undefined {
    return Math.max(aboveRound, this.#floor) < maxRound ? this.next(aboveRound) : undefined;
  }

  /** A fresh ballot of just this round. @throws InfinitError as {@link next}. */
  of(round: number): Ballot {
    if (round > maxRound) throw new InfinitError('unsupported', `ballot round ${round} is over the limit of ${maxRound}`);
    return { round, peer: this.peer, incarnation: this.incarnation, serial: ++this.#serial };
  }

  /** The round of the next ballot above none. */
  get nextRound(): number {
    return this.#floor + 1;
  }

  /** Remembers the floor that a peer told, so that first ballots of other blocks pass it at once. */
  raiseFloor(round: number): void {
    if (round > this.#floor) this.#floor = round;
  }

  clone(): BallotSource {
    return new BallotSource(this.peer, this.incarnation, this.#serial, this.#floor);
  }
}
