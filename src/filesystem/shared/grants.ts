import { randomUUID } from 'node:crypto';

import type { Claims } from '../core.ts';
import { LentLocks } from './lent-locks.ts';
import { Loans } from './loans.ts';
import { MappedFiles } from './mapped-files.ts';
import { SilentHosts } from './silent-hosts.ts';

/** For how long an answer is good, in ms: so long a change waits at the most for a guest that does not give up what it has in memory. */
export const grantTermMs = 1000;
/** How much faster or slower than another a host's clock may run. */
const driftRate = 0.02;
/** What was asked back is granted to nobody for so long, in ms: it is being changed, perhaps again and again. */
const contendedMs = 100;
/** What one guest may have in memory; beyond it, it is told and may not keep. */
const maxKeys = 65_536;
/** What is asked back at once where it has that much. */
const shedKeys = 4096;
/** Keys that are remembered as contended. */
const maxContended = 4096;

/**
 * What may be kept in memory: an inode (attributes and content) by its number, the names in a directory by its number below zero; and the locks of an inode by `locksKey`.
 */
export type GrantKey = number;

/** Who the kernel of the host that serves the volume is among those that are asked: it has attributes in memory, and no program opens anything by them. */
export const ownKernel = 'kernel';

/** What an answer says of how long it is good, and all that was granted before under the same `id`; 0 ms: no longer than before. Nothing of another id is good any more. */
export interface Term {
  readonly ms: number;
  readonly id: string;
}

/** What one guest has. */
class Grantee {
  id: string = randomUUID();
  readonly keys = new Set<GrantKey>();
  /** Until when it trusts what it has, at the latest. */
  untilMs = 0;
  /** Being asked back, and not given up yet. */
  readonly recalls = new Map<GrantKey, Promise<void>>();
  /** When that time is over. */
  expiry: { readonly ms: number; readonly over: Promise<void> } | undefined;
  /** Files that it had for itself and is giving back. */
  returning = 0;
  /** To be asked back in one message. */
  batch: { readonly keys: GrantKey[]; readonly answered: Promise<void> } | undefined;
}

export interface GrantsOptions {
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** For how long nobody else can serve the volume, in ms: nothing is granted beyond it. */
  readonly leaseMs: () => number;
  /** Asks a guest, or {@link ownKernel}, to give these up; resolves when it has. */
  readonly recall: (peer: string, keys: readonly GrantKey[]) => Promise<void>;
  /** The guest gave an inode up that its programs may be about to open; `lapsed`: it was not heard, and they may have it open. */
  readonly onGivenUp: (peer: string, inode: number, lapsed: boolean) => void;
  /** Until when guests may trust what an earlier opening of the volume on this host granted. */
  readonly earlierUntilMs: number;
  /** Absent: none ever is. */
  readonly silent?: SilentHosts;
}

/**
 * What other hosts may have in memory of the volume that is open here: each of them promises to forget it when asked, and has forgotten it when its time is over. A change waits for
 * either before it is made (leases and call-backs: Gray & Cheriton 1989; AFS; NFSv4 delegations).
 */
export class Grants implements Claims {
  readonly #options: GrantsOptions;
  /** By peer: no more than the cluster has hosts. */
  readonly #guests = new Map<string, Grantee>();
  readonly #byKey = new Map<GrantKey, Set<string>>();
  readonly #contended = new Map<GrantKey, number>();
  /** Files that guests have for themselves. */
  readonly loans: Loans;
  /** Files of which guests grant the locks. */
  readonly lentLocks: LentLocks;
  readonly silent: SilentHosts;
  /** Files that guests' programs change in mapped memory. */
  readonly mapped = new MappedFiles();
  #closed = false;

  constructor(options: GrantsOptions) {
    this.#options = options;
    this.loans = new Loans({
      now: options.now,
      sleep: options.sleep,
      patienceMs: grantTermMs * (1 + driftRate),
      recall: (peer, inode, ended) => this.#askForLoan(peer, inode, ended),
      untilMs: (peer) => this.#guests.get(peer)?.untilMs ?? 0,
    });
    const { now, sleep, recall, silent = new SilentHosts() } = options;
    this.silent = silent;
    this.lentLocks = new LentLocks({
      now,
      sleep,
      recall,
      contend: (key) => this.#contend(key),
      isContended: (key) => this.#isContended(key),
      silence: (peer) => silent.of(peer),
    });
  }

  /** Until when some guest may trust something, in ms. */
  get untilMs(): number {
    let until = this.#options.earlierUntilMs;
    for (const { untilMs } of this.#guests.values()) until = Math.max(until, untilMs);
    return until;
  }

  /** For tests: files that are lent, and what is being asked back of guests: while that lasts, nothing that they have is good for longer. */
  get memory(): { readonly loans: number; readonly recalls: number; readonly returning: number; readonly wantedLocks: number } {
    let [recalls, returning] = [0, 0];
    for (const guest of this.#guests.values()) {
      recalls += guest.recalls.size;
      returning += guest.returning;
    }
    return { loans: this.loans.lent, recalls, returning, wantedLocks: this.lentLocks.wantedFiles };
  }

  /** The guest may keep it as it is at this moment; the answer says whether it is still so. */
  give(peer: string, key: GrantKey): void {
    const guest = this.#guest(peer);
    if (this.#closed || guest.keys.has(key) || this.#isContended(key)) return;
    if (guest.keys.size >= maxKeys) return this.#shed(peer, guest);
    guest.keys.add(key);
    const peers = this.#byKey.get(key);
    if (peers === undefined) this.#byKey.set(key, new Set([peer]));
    else peers.add(peer);
  }

  /** Whether the guest has it, and nobody has asked for it back. */
  holds(peer: string, key: GrantKey): boolean {
    const guest = this.#guests.get(peer);
    return guest !== undefined && guest.keys.has(key) && !guest.recalls.has(key);
  }

  /** For an answer that leaves now. It renews nothing while something is asked back, so that a guest that does not hear of it does not trust what it has for ever. */
  term(peer: string): Term {
    const guest = this.#guest(peer);
    const ms = Math.min(grantTermMs, this.#options.leaseMs());
    if (this.#closed || guest.recalls.size > 0 || guest.returning > 0 || ms <= 0) return { ms: 0, id: guest.id };
    guest.untilMs = Math.max(guest.untilMs, this.#options.now() + ms * (1 + driftRate));
    return { ms, id: guest.id };
  }

  /** Names the guest as one that knows of its own changes, until it says that it does not. */
  askerOf(peer: string): string {
    return `${peer} ${this.#guest(peer).id}`;
  }

  /** The guest has forgotten it. */
  giveBack(peer: string, key: GrantKey): void {
    const guest = this.#guests.get(peer);
    if (guest?.keys.delete(key) === true) this.#remove(peer, key);
  }

  /** The guest has forgotten everything. */
  giveBackAll(peer: string): void {
    const guest = this.#guests.get(peer);
    if (guest === undefined) return;
    for (const key of guest.keys) this.#remove(peer, key);
    guest.keys.clear();
    guest.id = randomUUID();
  }

  /** The guest is lost. */
  forget(peer: string): void {
    if ((this.#guests.get(peer)?.untilMs ?? 0) <= this.#options.now()) this.giveBackAll(peer);
  }

  /** The guest gets the inode for itself, in the moment in which nobody has it in memory. undefined: not now. */
  lend(peer: string, inode: number): string | undefined {
    if (this.#closed || this.#isContended(inode) || this.#byKey.has(inode)) return undefined;
    return this.loans.lend(peer, inode);
  }

  inode(number: number, owner?: string, by?: string): Promise<void> | undefined {
    this.mapped.changing(number, by);
    const [lent, shown] = [this.loans.changing(number, owner), this.#claim(number, undefined)];
    return lent === undefined || shown === undefined ? (lent ?? shown) : Promise.all([lent, shown]).then(() => {});
  }

  shown(number: number): Promise<void> | undefined {
    return this.loans.seeing(number);
  }

  isLent(number: number): boolean {
    return this.loans.has(number);
  }

  locks(number: number, waits: boolean): Promise<void> | undefined {
    return this.lentLocks.wanted(number, waits);
  }

  names(number: number, asker: string | undefined): Promise<void> | undefined {
    return this.#claim(-number, asker);
  }

  /** Grants nothing from now on. Resolves when nobody has anything in memory. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.loans.close();
    this.lentLocks.close();
    await Promise.all([...this.#byKey.keys()].map(async (key) => this.#claim(key, undefined)));
    await this.#until(this.#options.earlierUntilMs);
  }

  /** While it gives something back it is not told that what else it has is good for longer. */
  async #askForLoan(peer: string, inode: number, ended: Promise<void>): Promise<void> {
    const guest = this.#guest(peer);
    this.#contend(inode);
    guest.returning++;
    void ended.then(() => guest.returning--);
    await this.#ask(peer, guest, inode);
  }

  /** It has forgotten some of what it was given, and says so when it is asked. */
  #shed(peer: string, guest: Grantee): void {
    if (guest.recalls.size > 0) return;
    for (const key of guest.keys) {
      if (guest.recalls.size >= shedKeys) return;
      void this.#recall(peer, key);
    }
  }

  #claim(key: GrantKey, asker: string | undefined): Promise<void> | undefined {
    const earlier = this.#options.earlierUntilMs > this.#options.now() ? this.#until(this.#options.earlierUntilMs) : undefined;
    // What nobody need be asked for makes the key no contended one.
    if (this.#byKey.get(key)?.has(ownKernel) === true && this.#guest(ownKernel).untilMs <= this.#options.now()) this.giveBackAll(ownKernel);
    const peers = this.#byKey.get(key);
    if (peers === undefined) return earlier;
    const waits = [...peers].flatMap((peer) => (asker !== undefined && asker === this.askerOf(peer) ? [] : [this.#recall(peer, key)]));
    if (waits.length === 0) return earlier;
    this.#contend(key);
    return Promise.all([earlier, ...waits]).then(() => {});
  }

  #recall(peer: string, key: GrantKey): Promise<void> {
    const guest = this.#guest(peer);
    let recall = guest.recalls.get(key);
    if (recall === undefined) {
      recall = this.#recallNow(peer, guest, key).finally(() => guest.recalls.delete(key));
      guest.recalls.set(key, recall);
    }
    return recall;
  }

  async #recallNow(peer: string, guest: Grantee, key: GrantKey): Promise<void> {
    const { id } = guest;
    const expired = this.#expired(guest).then(() => false);
    // Not heard, it may have it all the same.
    const given = this.#ask(peer, guest, key).then(
      () => true,
      () => expired,
    );
    const heard = await Promise.race([given, expired]);
    if (key > 0 && peer !== ownKernel && guest.keys.has(key)) this.#options.onGivenUp(peer, key, !heard);
    if (heard || guest.id !== id) this.giveBack(peer, key);
    // Its time is over for all that it had.
    else this.giveBackAll(peer);
  }

  /** All that is asked back in one turn goes in one message. */
  #ask(peer: string, guest: Grantee, key: GrantKey): Promise<void> {
    if (guest.batch === undefined) {
      const keys: GrantKey[] = [];
      const answered = Promise.resolve().then(() => {
        guest.batch = undefined;
        return this.#options.recall(peer, keys);
      });
      guest.batch = { keys, answered };
    }
    guest.batch.keys.push(key);
    return guest.batch.answered;
  }

  async #until(ms: number): Promise<void> {
    for (let left = ms - this.#options.now(); left > 0; left = ms - this.#options.now()) await this.#options.sleep(Math.ceil(left));
  }

  #expired(guest: Grantee): Promise<void> {
    const { untilMs } = guest;
    if (guest.expiry?.ms !== untilMs) guest.expiry = { ms: untilMs, over: this.#until(untilMs) };
    return guest.expiry.over;
  }

  #contend(key: GrantKey): void {
    this.#contended.delete(key);
    this.#contended.set(key, this.#options.now() + contendedMs);
    if (this.#contended.size > maxContended) this.#contended.delete(this.#contended.keys().next().value!);
  }

  #isContended(key: GrantKey): boolean {
    const until = this.#contended.get(key);
    if (until === undefined) return false;
    if (until > this.#options.now()) return true;
    this.#contended.delete(key);
    return false;
  }

  #guest(peer: string): Grantee {
    let guest = this.#guests.get(peer);
    if (guest === undefined) this.#guests.set(peer, (guest = new Grantee()));
    return guest;
  }

  #remove(peer: string, key: GrantKey): void {
    const peers = this.#byKey.get(key);
    peers?.delete(peer);
    if (peers?.size === 0) this.#byKey.delete(key);
  }
}
