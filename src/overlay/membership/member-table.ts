import { createHash } from 'node:crypto';

import { InfinitError } from '../../base/index.ts';
import {
  isNewer,
  type Passport,
  readPassport,
  type MemberRecord,
  maxRevocations,
  readRecord,
  readRevocation,
  type Revocation,
  type SignedText,
  type Subject,
} from '../identity/index.ts';
import type { ProcessId } from '../hello.ts';
import type { PeerId } from '../transport.ts';
import { olderState, type Trouble } from '../trouble.ts';
import type { PassportGate } from './passport-gate.ts';

/** A member as it travels: its signed record and its passport. */
export interface Entry {
  readonly record: SignedText;
  readonly passport: SignedText;
}

/** What a host knows, in short: (peer, incarnation, sequence) of each member, and what is revoked. */
export interface Summary {
  readonly members: readonly (readonly [peer: PeerId, incarnation: number, sequence: number])[];
  readonly revoked: readonly Subject[];
  /** Uses of tokens that no member's passport shows, each `TOKEN PEER`. */
  readonly used?: readonly string[];
}

/** What one host has to tell another. */
export interface News {
  readonly entries: readonly Entry[];
  readonly revocations: readonly SignedText[];
  /** Passports that show that a token was used, of hosts that have no such passport any more: absent from a host of an earlier version. */
  readonly used?: readonly SignedText[];
}

/** Members of one cluster that the table takes. Those that left are among them as long as there is room. */
export const maxTableSize = 4096;

/** The newest signed record of every member, and the revocations. The order in which news arrive makes no difference. */
export class MemberTable {
  readonly #gate: PassportGate;
  readonly #members = new Map<PeerId, { readonly record: MemberRecord; readonly entry: Entry }>();
  readonly #onConflict: (known: MemberRecord, other: MemberRecord) => void;
  readonly #most: number;
  #digest: string | undefined;
  /** Told of a revocation that a member holds, and that does not count here. */
  onDisputed: (revocation: Revocation, from: PeerId) => void = () => {};

  /** @param onConflict Told of two records of one host that two processes must have made. @param most {@link maxTableSize} where absent. */
  constructor(gate: PassportGate, onConflict: (known: MemberRecord, other: MemberRecord) => void, most: number = maxTableSize) {
    this.#most = most;
    this.#gate = gate;
    this.#onConflict = onConflict;
  }

  get size(): number {
    return this.#members.size;
  }

  get(peer: PeerId): MemberRecord | undefined {
    return this.#members.get(peer)?.record;
  }

  /** Whether the host was expelled. */
  isRevoked(peer: PeerId): boolean {
    return this.#gate.isRevoked(peer);
  }

  /** A trouble where a process is of a time before the latest start of its host that is known: the number of a start is never used twice, unless the state directory was put back. */
  isPast(peer: PeerId, { incarnation, nonce }: ProcessId): Trouble | undefined {
    const known = this.get(peer);
    if (known === undefined || known.incarnation < incarnation || (known.incarnation === incarnation && known.nonce === nonce)) return undefined;
    const seen = known.incarnation === incarnation ? 'another process of that number' : `one of number ${known.incarnation}`;
    return olderState(peer, known.name, `it says that this is its start number ${incarnation}, and ${seen} was seen`);
  }

  records(): MemberRecord[] {
    return [...this.#members.values()].map(({ record }) => record);
  }

  /** Equal on two hosts exactly where they know the same: 16 hex digits. */
  get digest(): string {
    if (this.#digest === undefined) {
      const { members, revoked } = this.summary();
      this.#digest = createHash('sha256')
        .update(JSON.stringify([members.map((member) => member.join()).sort(), [...revoked].sort()]))
        .digest('hex')
        .slice(0, 16);
    }
    return this.#digest;
  }

  summary(): Summary {
    return {
      members: [...this.#members.values()].map(({ record: { peer, incarnation, sequence } }) => [peer, incarnation, sequence] as const),
      revoked: [...this.#gate.revocations.keys()],
      used: this.#unshown().map((passport) => useOf(passport)),
    };
  }

  /** Everything, for the state directory. */
  all(): News {
    return {
      entries: [...this.#members.values()].map(({ entry }) => entry),
      revocations: [...this.#gate.revocations.values()].map(({ text }) => text),
      used: this.#unshown().map(({ text }) => text),
    };
  }

  /** What the other side of a summary lacks, and of what it knows more. */
  compare(summary: Summary): { readonly news: News; readonly wanted: PeerId[]; readonly wantedRevocations: Subject[] } {
    const theirs = new Map(summary.members.map(([peer, incarnation, sequence]) => [peer, { incarnation, sequence }]));
    const entries: Entry[] = [];
    for (const [peer, { record, entry }] of this.#members) {
      const known = theirs.get(peer);
      if (known === undefined || isNewer(record, known)) entries.push(entry);
    }
    const wanted = summary.members.flatMap(([peer, incarnation, sequence]) => {
      const mine = this.#members.get(peer)?.record;
      return mine === undefined || isNewer({ incarnation, sequence }, mine) ? [peer] : [];
    });
    const revoked = new Set(summary.revoked);
    const revocations = [...this.#gate.revocations.values()].flatMap(({ subject, text }) => (revoked.has(subject) ? [] : [text]));
    const used = new Set(summary.used);
    const uses = this.#unshown().flatMap((passport) => (used.has(useOf(passport)) ? [] : [passport.text]));
    return {
      news: { entries, revocations, used: uses },
      wanted,
      wantedRevocations: summary.revoked.filter((subject) => !this.#gate.revocations.has(subject)),
    };
  }

  /** The entries and revocations asked for by name. */
  pick(peers: readonly PeerId[], subjects: readonly Subject[]): News {
    return {
      entries: peers.flatMap((peer) => this.#members.get(peer)?.entry ?? []),
      revocations: subjects.flatMap((subject) => this.#gate.revocations.get(subject)?.text ?? []),
    };
  }

  /** Takes a member's entry. True where it is news. @param from As for {@link PassportGate.vouch}. @throws InfinitError `denied`, `bad-argument`, `overloaded`. */
  merge(entry: Entry, from?: PeerId): boolean {
    const record = readRecord(entry.record, (claim) => {
      const known = this.#members.get(claim.peer)?.record;
      return known === undefined || isNewer(claim, known) || (claim.incarnation === known.incarnation && claim.nonce !== known.nonce);
    });
    if (record === undefined) return false;
    const known = this.#members.get(record.peer)?.record;
    if (known !== undefined && known.incarnation === record.incarnation && known.nonce !== record.nonce) {
      this.#onConflict(known, record);
      return false;
    }
    const leaver = known === undefined && this.#members.size >= this.#most ? this.#whoMakesRoom(record) : undefined;
    const passport = this.#gate.vouch(record.peer, entry.passport, from).text;
    if (leaver !== undefined) {
      this.#members.delete(leaver);
      this.#gate.forget(leaver);
    }
    this.#members.set(record.peer, { record, entry: { record: entry.record, passport } });
    this.#digest = undefined;
    return true;
  }

  /** A host that left, for one that is there: of several the one with the least id, so that all members forget the same. @throws InfinitError `overloaded`. */
  #whoMakesRoom({ state }: MemberRecord): PeerId {
    const left = state === 'left' ? [] : this.records().filter((record) => record.state === 'left');
    const [least] = left.map(({ peer }) => peer).sort();
    if (least === undefined) throw new InfinitError('overloaded', `the roster is full: ${this.#members.size} members`);
    return least;
  }

  /** Takes a passport as what shows that a token was used. True where that is news. @throws InfinitError `denied`, `bad-argument`. */
  mergeUse(text: SignedText, cluster: Uint8Array): boolean {
    return this.#gate.uses.note(readPassport(text, cluster));
  }

  /** Uses of tokens that the members' entries do not show. */
  #unshown(): Passport[] {
    return this.#gate.uses
      .passports()
      .filter(({ peer, text }) => this.#gate.standing(peer) !== 'member' || this.#members.get(peer)?.entry.passport !== text);
  }

  /** Takes a revocation. The one that is news is returned. @param from Who tells it; this host itself where absent. @throws InfinitError `denied`, `bad-argument`, `overloaded`. */
  mergeRevocation(text: SignedText, cluster: Uint8Array, from?: PeerId): Revocation | undefined {
    const revocation = readRevocation(text, cluster);
    try {
      if (from !== undefined) this.#gate.checkRevocation(revocation, from);
    } catch (error) {
      if (!this.#gate.revocations.has(revocation.subject)) this.onDisputed(revocation, from!);
      throw error;
    }
    if (this.#gate.revocations.size >= maxRevocations) throw new InfinitError('overloaded', `the cluster has ${maxRevocations} revocations`);
    if (!this.#gate.revoke(revocation)) return undefined;
    if (revocation.subject.startsWith('host:')) this.#members.delete(revocation.subject.slice('host:'.length));
    this.#digest = undefined;
    return revocation;
  }
}

/** A use in a summary. */
function useOf({ peer, invitation }: Passport): string {
  return `${invitation!.id} ${peer}`;
}
