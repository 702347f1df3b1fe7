import type { ClusterAuthority } from './cluster-authority.ts';
import type { MemberRecord } from './identity/index.ts';
import type { Entry } from './membership/member-table.ts';
import type { PassportGate } from './membership/passport-gate.ts';

/** What a running host may come to say otherwise of itself. */
export type OwnChange = Partial<Pick<MemberRecord, 'state' | 'capacity' | 'addresses'>>;

export interface OwnRecordOptions {
  readonly gate: PassportGate;
  readonly authority: ClusterAuthority;
  /** Whether this host takes part in its cluster, so that others are to be told. */
  readonly takesPart: () => boolean;
  /** The record has changed: to be told, where there is something. */
  readonly onChange: (told: Entry | undefined) => void;
}

/** What this host says of itself, signed anew at each change. */
export class OwnRecord {
  readonly #options: OwnRecordOptions;
  #current: Omit<MemberRecord, 'peer'>;
  #text = '';
  #isUntold = false;

  constructor(first: Omit<MemberRecord, 'peer'>, options: OwnRecordOptions) {
    this.#current = first;
    this.#options = options;
  }

  get current(): Omit<MemberRecord, 'peer'> {
    return this.#current;
  }

  /** It changed and nobody was told, since the passport had ended: to be published again once there is a good one. */
  get isUntold(): boolean {
    return this.#isUntold;
  }

  /** As it was told last; undefined where this host belongs to no cluster. */
  get entry(): Entry | undefined {
    const { own } = this.#options.gate;
    return own === undefined ? undefined : { record: this.#text, passport: own.text };
  }

  publish(change: OwnChange): void {
    const { gate, authority, takesPart, onChange } = this.#options;
    this.#current = { ...this.#current, ...change, sequence: this.#current.sequence + 1 };
    // With a passport that has ended nobody would take it, this host itself included.
    this.#isUntold = gate.isOwnExpired;
    const isTold = gate.own !== undefined && takesPart() && !this.#isUntold;
    if (isTold) this.#text = authority.signRecord(this.#current);
    onChange(isTold ? this.entry : undefined);
  }
}
