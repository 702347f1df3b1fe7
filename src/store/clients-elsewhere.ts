import type { Request } from '../consensus/index.ts';

/** Whoever asked counts as at work for so long, in ms. */
const lastingMs = 250;

/**
 * Whether clients of other hosts have this one at work: a host that has no clients of its own and stores for those of others is in their way all the same with what
 * it does in the background.
 */
export class ClientsElsewhere {
  readonly #now: () => number;
  #until = -Infinity;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** This host served something that clients wait for. */
  note(): void {
    this.#until = this.#now() + lastingMs;
  }

  get atWork(): boolean {
    return this.#now() < this.#until;
  }
}

/** Whether it can only be of a client's read or write: housekeeping prepares before it writes, and asks for no lease and for all there is when it reads. */
export function isOfClient(request: Request): boolean {
  if (request.attempt !== 1) return false;
  return request.type === 'accept' || (request.type === 'read' && (request.known !== null || request.lease !== null));
}
