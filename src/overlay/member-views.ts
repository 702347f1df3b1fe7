import type { MemberRecord } from './identity/index.ts';
import type { FailureDetector } from './membership/failure-detector.ts';
import type { MemberTable } from './membership/member-table.ts';
import type { PassportGate } from './membership/passport-gate.ts';
import { type MemberView, memberView } from './overlay-options.ts';
import type { OwnRecord } from './own-record.ts';
import type { PeerId } from './transport.ts';

/** The members as this host sees them: what they say of themselves, what their passports give, and whether they live. */
export class MemberViews {
  readonly #self: PeerId;
  readonly #own: OwnRecord;
  readonly #table: MemberTable;
  readonly #gate: PassportGate;
  readonly #detector: FailureDetector;

  constructor(self: PeerId, own: OwnRecord, table: MemberTable, gate: PassportGate, detector: FailureDetector) {
    this.#self = self;
    this.#own = own;
    this.#table = table;
    this.#gate = gate;
    this.#detector = detector;
  }

  /** As `Overlay.members`. */
  all(): readonly MemberView[] {
    const records = this.others().sort((a, b) => a.name.localeCompare(b.name) || (a.peer < b.peer ? -1 : 1));
    return [{ peer: this.#self, ...this.#own.current }, ...records].map((record) => this.#view(record));
  }

  /** The records of other members that have not left. */
  others(): MemberRecord[] {
    return this.#table.records().filter(({ peer, state }) => peer !== this.#self && state !== 'left');
  }

  /** As `Overlay.lostFor`. */
  lostFor(): ReadonlyMap<PeerId, number> {
    return new Map(
      this.all().flatMap(({ self, peer, liveness }) => (!self && liveness === 'down' ? [[peer, this.#detector.standingFor(peer)] as const] : [])),
    );
  }

  of(peer: PeerId): MemberView | undefined {
    const record = peer === this.#self ? { peer, ...this.#own.current } : this.#table.get(peer);
    return record === undefined ? undefined : this.#view(record);
  }

  /** As `Overlay.departed`. */
  departed(): readonly MemberView[] {
    return this.#table.records().flatMap((record) => (record.state === 'left' && record.peer !== this.#self ? [this.#view(record)] : []));
  }

  #view(record: MemberRecord): MemberView {
    const health = record.peer === this.#self ? undefined : this.#detector.healthOf(record.peer);
    return memberView(record, this.#gate.passportOf(record.peer), health);
  }
}
