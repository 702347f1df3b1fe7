import { codeOf, type Random } from '../base/index.ts';
import type { PeerId, Target } from './transport.ts';
import { troubleOf } from './trouble.ts';

/** What the redialer needs of a transport. */
export interface Dialler {
  readonly self: PeerId;
  isConnected(peer: PeerId): boolean;
  connectedCount(): number;
  /** Opens a session; resolves with the peer that answered. */
  connect(address: string, peer: PeerId | undefined): Promise<PeerId>;
  lookUp(peer: PeerId): Promise<readonly string[]>;
  /** Told of every failed attempt. */
  onFailure(address: string, peer: PeerId | undefined, error: unknown): void;
}

interface Attempt {
  readonly peer: PeerId | undefined;
  addresses: readonly string[];
  failures: number;
  timer: NodeJS.Timeout | undefined;
  running: boolean;
  stopped: boolean;
  /** Seeds only: who answered there. */
  found: PeerId | undefined;
}

const firstDelayMs = 100;
/** Of two hosts that lose each other the one with the higher id waits this long, so that they do not dial each other at once. */
const politenessMs = 400;
const maxDelayMs = 4000;
/** Sessions being opened at once: a handshake costs milliseconds of CPU. */
const maxDialling = 12;
/** Failed rounds after which the look-up services are asked for other addresses. */
const lookUpAfter = 3;

/** Keeps sessions with all targets: dials for ever, with back-off, whoever is not connected. */
export class Redialer {
  readonly #dialler: Dialler;
  readonly #random: Random;
  readonly #targets = new Map<PeerId, Attempt>();
  readonly #seeds = new Map<string, Attempt>();
  readonly #queue: Attempt[] = [];
  #dialling = 0;
  #closed = false;

  constructor(dialler: Dialler, random: Random) {
    this.#dialler = dialler;
    this.#random = random;
  }

  setTargets(targets: readonly Target[]): void {
    const wanted = new Map(targets.filter(({ peer }) => peer !== this.#dialler.self).map((target) => [target.peer, target]));
    for (const [peer, attempt] of this.#targets) if (!wanted.has(peer)) this.#stop(this.#targets, peer, attempt);
    for (const { peer, addresses } of wanted.values()) {
      const known = this.#targets.get(peer);
      if (known === undefined) {
        const attempt = newAttempt(peer, addresses);
        this.#targets.set(peer, attempt);
        this.#schedule(attempt, peer < this.#dialler.self ? politenessMs : 0);
      } else if (known.addresses.join() !== addresses.join()) {
        known.addresses = addresses;
        known.failures = 0;
        if (!known.running && !this.#dialler.isConnected(peer)) this.#schedule(known, 0);
      }
    }
  }

  setSeeds(addresses: readonly string[]): void {
    for (const [address, attempt] of this.#seeds) if (!addresses.includes(address)) this.#stop(this.#seeds, address, attempt);
    for (const address of addresses) {
      if (this.#seeds.has(address)) continue;
      const attempt = newAttempt(undefined, [address]);
      this.#seeds.set(address, attempt);
      this.#schedule(attempt, 0);
    }
  }

  /** A session is gone: its peer is dialled again, and where it was the last one so are the seeds. */
  lost(peer: PeerId): void {
    const attempt = this.#targets.get(peer);
    if (attempt !== undefined && !attempt.running) {
      attempt.failures = 0;
      this.#schedule(attempt, this.#pauseAfterLoss(attempt));
    }
    if (this.#dialler.connectedCount() > 0) return;
    for (const seed of this.#seeds.values()) if (!seed.running) this.#schedule(seed, firstDelayMs);
  }

  close(): void {
    this.#closed = true;
    for (const [peer, attempt] of this.#targets) this.#stop(this.#targets, peer, attempt);
    for (const [address, attempt] of this.#seeds) this.#stop(this.#seeds, address, attempt);
  }

  #stop<K>(from: Map<K, Attempt>, key: K, attempt: Attempt): void {
    attempt.stopped = true;
    clearTimeout(attempt.timer);
    from.delete(key);
  }

  #schedule(attempt: Attempt, delayMs: number): void {
    clearTimeout(attempt.timer);
    if (attempt.stopped || this.#closed) return;
    attempt.timer = setTimeout(() => {
      attempt.running = true;
      this.#queue.push(attempt);
      this.#pump();
    }, delayMs);
  }

  #pump(): void {
    while (this.#dialling < maxDialling && this.#queue.length > 0) {
      const attempt = this.#queue.shift()!;
      this.#dialling++;
      void this.#round(attempt).then((done) => {
        this.#dialling--;
        attempt.running = false;
        if (!done) this.#schedule(attempt, this.#backOff(attempt));
        // Its session was lost again before the dial was through, when {@link lost} left it to this.
        else if (!this.#isSatisfied(attempt)) this.#schedule(attempt, this.#pauseAfterLoss(attempt));
        this.#pump();
        return undefined;
      });
    }
  }

  #pauseAfterLoss({ peer }: Attempt): number {
    return firstDelayMs + (peer !== undefined && peer < this.#dialler.self ? politenessMs : 0);
  }

  #backOff(attempt: Attempt): number {
    const full = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(attempt.failures, 10));
    return full * (0.5 + this.#random.unit() / 2);
  }

  /** True where nothing is left to do for now. */
  async #round(attempt: Attempt): Promise<boolean> {
    if (this.#isSatisfied(attempt)) return true;
    for (const address of await this.#addressesOf(attempt)) {
      if (attempt.stopped || this.#isSatisfied(attempt)) return true;
      try {
        attempt.found = await this.#dialler.connect(address, attempt.peer);
        attempt.failures = 0;
        return true;
      } catch (error) {
        // Two hosts dialled each other at once and the other session is kept: no failure, though this attempt looks again later.
        if (codeOf(error) === 'conflict') break;
        this.#dialler.onFailure(address, attempt.peer, error);
        // The same list of seeds may be given to all hosts: this one's own address is of no use, and no matter once another answers.
        if (attempt.peer === undefined && troubleOf(error) === 'self') attempt.found = this.#dialler.self;
      }
    }
    attempt.failures++;
    return false;
  }

  #isSatisfied(attempt: Attempt): boolean {
    if (attempt.stopped || this.#closed) return true;
    if (attempt.peer !== undefined) return this.#dialler.isConnected(attempt.peer);
    return attempt.found !== undefined && this.#dialler.connectedCount() > 0;
  }

  async #addressesOf(attempt: Attempt): Promise<readonly string[]> {
    if (attempt.peer === undefined || attempt.failures % lookUpAfter !== lookUpAfter - 1) return attempt.addresses;
    try {
      const found = await this.#dialler.lookUp(attempt.peer);
      return [...new Set([...attempt.addresses, ...found])];
    } catch {
      return attempt.addresses; // nobody knows better
    }
  }
}

function newAttempt(peer: PeerId | undefined, addresses: readonly string[]): Attempt {
  return { peer, addresses, failures: 0, timer: undefined, running: false, stopped: false, found: undefined };
}
