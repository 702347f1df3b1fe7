import { hash } from 'node:crypto';

import { InfinitError } from '../base/index.ts';
import { type Key, keyWord, memberKey } from './key.ts';

/** A host's identity: a libp2p peer id as text. */
export type PeerId = string;

/** What placement has to know of a host. */
export interface Member {
  readonly peer: PeerId;
  /** Hosts that may fail together (a rack, a site): copies keep out of each other's zone where they can. */
  readonly zone: string;
  /** Bytes that the host offers; only the ratios matter. One that offers 0 (a client, a draining host) gets no blocks. */
  readonly capacity: number;
}

/** More hosts than this are refused; a roster takes ~250 bytes a host. */
export const maxMembers = 4_000_000;

/** A host with all that can be computed of it in advance, shared between the rosters that follow each other. */
interface Entry {
  readonly member: Member;
  readonly key: Key;
}

/**
 * An immutable snapshot of the hosts that blocks may be placed on. Order does not matter: rosters of the same members are
 * equal, and have the same {@link id}.
 */
export class Roster {
  /** The members that take blocks, in the order of their keys; the arrays below run in the same order. */
  readonly eligible: readonly Member[];
  /** Bits 0–31 and 32–63 of the keys: all that nearness ever needs. */
  readonly keyHigh: Uint32Array;
  readonly keyLow: Uint32Array;
  /** Bits 64–127 of the keys: the host's hash in rendezvous hashing. */
  readonly lotHigh: Int32Array;
  readonly lotLow: Int32Array;
  /** Number of the zone, for quick comparison. Means nothing outside this roster. */
  readonly zones: Int32Array;
  readonly #entries: ReadonlyMap<PeerId, Entry>;
  #id: string | undefined;

  private constructor(entries: ReadonlyMap<PeerId, Entry>) {
    if (entries.size > maxMembers) throw new InfinitError('too-large', `a roster of ${entries.size} hosts: at most ${maxMembers} are allowed`);
    this.#entries = entries;
    const sorted = [...entries.values()].filter(({ member }) => member.capacity > 0).sort(byKey);
    const count = sorted.length;
    this.eligible = sorted.map(({ member }) => member);
    [this.keyHigh, this.keyLow] = [new Uint32Array(count), new Uint32Array(count)];
    [this.lotHigh, this.lotLow, this.zones] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
    const zones = new Map<string, number>();
    for (const [index, { member, key }] of sorted.entries()) {
      this.keyHigh[index] = keyWord(key, 0);
      this.keyLow[index] = keyWord(key, 1);
      this.lotHigh[index] = keyWord(key, 2);
      this.lotLow[index] = keyWord(key, 3);
      const zone = zones.get(member.zone) ?? zones.size;
      zones.set(member.zone, zone);
      this.zones[index] = zone;
    }
  }

  /** The roster of these members. @throws InfinitError `bad-argument` for a host named twice or a capacity that is none, `too-large`. */
  static of(members: Iterable<Member>): Roster {
    const entries = new Map<PeerId, Entry>();
    for (const member of members) {
      if (entries.has(member.peer)) throw new InfinitError('bad-argument', `host ${member.peer} is twice in the roster`);
      entries.set(member.peer, entryOf(member, undefined));
    }
    return new Roster(entries);
  }

  /** All members, those without capacity included. */
  get members(): IteratorObject<Member> {
    return this.#entries.values().map(({ member }) => member);
  }

  /** How many members there are, those without capacity included. */
  get memberCount(): number {
    return this.#entries.size;
  }

  /** How many hosts take blocks. */
  get size(): number {
    return this.eligible.length;
  }

  get(peer: PeerId): Member | undefined {
    return this.#entries.get(peer)?.member;
  }

  /** This roster with members added or replaced. Hosts known already are not hashed again. */
  with(...members: readonly Member[]): Roster {
    const entries = new Map(this.#entries);
    for (const member of members) entries.set(member.peer, entryOf(member, entries.get(member.peer)));
    return new Roster(entries);
  }

  /** This roster without some hosts. */
  without(...peers: readonly PeerId[]): Roster {
    const entries = new Map(this.#entries);
    for (const peer of peers) entries.delete(peer);
    return new Roster(entries);
  }

  /** 32 hex digits that stand for the content: equal exactly for rosters of the same members, on every host. */
  get id(): string {
    if (this.#id !== undefined) return this.#id;
    const lines = [...this.#entries.values()].sort(byKey).map(({ member }) => [member.peer, member.zone, member.capacity]);
    this.#id = hash('sha256', JSON.stringify(lines), 'hex').slice(0, 32);
    return this.#id;
  }
}

function byKey(one: Entry, other: Entry): number {
  return one.key < other.key ? -1 : 1;
}

function entryOf({ peer, zone, capacity }: Member, known: Entry | undefined): Entry {
  if (peer === '') throw new InfinitError('bad-argument', 'a host in the roster has an empty peer id');
  if (!Number.isFinite(capacity) || capacity < 0)
    throw new InfinitError('bad-argument', `host ${peer} has the capacity ${capacity}, which is no number of bytes`);
  return { member: { peer, zone, capacity }, key: known?.key ?? memberKey(peer) };
}
