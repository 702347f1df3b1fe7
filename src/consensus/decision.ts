import { compareBallots, type PeerId, sameBallot } from './ballot.ts';
import type { Doubt } from './doubt.ts';
import { maxUnsettled } from './limits.ts';
import type { Apply, Operation, ProposalOutcome } from './operation.ts';
import { type Accepted, type BlockRecord, type Origin, type ReplicaSet, sameOrigin, sameReplicas } from './record.ts';
import type { Rules } from './rules.ts';

/** Why a record is proposed: the operation's own value or change, or a step on the way. */
export type Purpose = 'value' | 'joint' | 'final' | 'repair' | 'reproposal' | 'settled' | 'salvaged' | 'given-up';

/** Where an operation stands once it knows the current record. */
export interface Standing {
  readonly operation: Operation;
  readonly origin: Origin;
  /** The highest record that a quorum told; null: none. */
  readonly base: Accepted | null;
  /** It is known to be chosen. */
  readonly chosen: boolean;
  /** Of a block whose majority is lost: the highest pointer above that record. */
  readonly pointer: Accepted | null;
  /** The round of the ballot that was promised; 0: none was. */
  readonly round: number;
  /** What may live on somewhere of what was sent before. */
  readonly doubt: Pick<Doubt, 'version' | 'upon' | 'ballot' | 'changeSent'>;
  /** The record was accepted once more, at a ballot of ours. */
  readonly reproposed: boolean;
  /** A lease is asked for that comes with an accept only. */
  readonly mustAccept: boolean;
  /** The highest floor of those that answered last. */
  readonly floor: () => number;
  /** The version of the record that would found the block, and that record. */
  readonly firstVersion: () => number;
  readonly founding: (value: Uint8Array | null) => BlockRecord;
  /** All that had the block may be lost: that nobody has it proves nothing. */
  readonly mayBeLost: () => boolean;
}

/** What to do about it. */
export type Decision =
  | { readonly type: 'finish'; readonly outcome: ProposalOutcome }
  | { readonly type: 'propose'; readonly record: BlockRecord; readonly purpose: Purpose }
  /** Make all of these know the record, and wait for every one. */
  | { readonly type: 'tell'; readonly base: Accepted; readonly sets: readonly ReplicaSet[] };

const nobody: readonly PeerId[] = [];
const lost: ProposalOutcome = { status: 'no-quorum', lost: true };

/** The rules of docs/consensus.md, “The register” and “Changing replicas”, for each kind of operation. */
export function decide(rules: Rules, standing: Standing): Decision {
  const { operation, base, chosen } = standing;
  switch (operation.kind) {
    case 'read':
      return decideRead(rules, standing);
    case 'write':
      return decideWrite(rules, standing, operation.apply);
    case 'change':
      return base === null
        ? finish({ status: 'conflict', accepted: null })
        : decideChange(rules, standing, base, operation.fromEpoch, operation.replicas);
    case 'settle':
      return base === null ? finish({ status: 'conflict', accepted: null }) : decideSettle(rules, standing, base);
    case 'renew':
      return base === null ? finish({ status: 'conflict', accepted: null }) : decideRenew(rules, standing, base);
    case 'salvage':
      return base === null ? finish({ status: 'conflict', accepted: null }) : decideSalvage(standing, base, operation);
    case 'give-up':
      return decideGiveUp(rules, standing, operation);
    case 'forget':
      return base === null ? finish({ status: 'committed', accepted: null }) : decideForget(rules, chosen, base);
  }
}

/** Whether the value that we once sent can no longer come to life: whatever is chosen from now on descends from this record. */
export function isDoubtOver({ base, chosen, origin, doubt }: Standing): boolean {
  if (doubt.version === Infinity || base === null || !chosen) return false;
  const { version, origin: author } = base.record;
  return !sameOrigin(author, origin) && version <= doubt.version && compareBallots(base.ballot, doubt.ballot) > 0;
}

/** Nobody ever wrote there, so nothing is lost. */
function isFresh(operation: Operation): boolean {
  return operation.kind === 'write' && operation.fresh === true;
}

/** Hosts that a settling must still reach. */
export function hostsToSettle(operation: Operation, { unsettled }: BlockRecord): PeerId[] {
  const revoked = operation.kind === 'settle' ? operation.revoked : [];
  return unsettled.filter((peer) => !revoked.includes(peer));
}

function decideRead(rules: Rules, { operation, base, chosen, reproposed, mustAccept, mayBeLost }: Standing): Decision {
  if (base === null) {
    const isClients = operation.kind === 'read' && operation.own === undefined;
    return finish(isClients && !rules.mayTellAbsent(mayBeLost()) ? lost : { status: 'committed', accepted: null });
  }
  if (mustAccept && !reproposed && rules.mayLease(base.record)) return { type: 'propose', record: base.record, purpose: 'reproposal' };
  return rules.mayAnswer(chosen) ? finish({ status: 'committed', accepted: base }) : repair(base);
}

function decideWrite(rules: Rules, standing: Standing, apply: Apply): Decision {
  const { base, chosen, origin, doubt, founding } = standing;
  const doubtful = doubt.version !== Infinity;
  if (doubtful && base !== null) {
    if (sameOrigin(base.record.origin, origin)) return chosen ? finish({ status: 'committed', accepted: base }) : repair(base);
    // Ours may lie below what others wrote since: there is no way to tell.
    if (base.record.version > doubt.version) return finish(unknown(doubt));
  }
  // Ours may have been chosen, removed and forgotten: then the floors of those that forgot cover its ballot.
  if (base === null && doubt.ballot !== null && !rules.mayFoundAgain(standing.floor(), doubt.ballot)) return finish(unknown(doubt));
  if (base === null && !isFresh(standing.operation) && !rules.mayTellAbsent(standing.mayBeLost())) return finish(doubtful ? unknown(doubt) : lost);
  const value = apply(base?.record ?? null, base === null ? standing.firstVersion() : base.record.version + 1);
  if (base === null) {
    if (value !== undefined) return { type: 'propose', record: founding(value), purpose: 'value' };
    return finish(doubtful ? unknown(doubt) : { status: 'conflict', accepted: null });
  }
  if (value === undefined) return doubtful ? repair(base) : conflict(rules, chosen, base);
  // A joint record must be chosen before a record without its previous sets may follow it.
  if (base.record.previous.length > 0 && !rules.mayFinish(chosen)) return repair(base);
  return { type: 'propose', record: { ...base.record, version: base.record.version + 1, previous: [], origin, value }, purpose: 'value' };
}

function decideChange(rules: Rules, { chosen, doubt }: Standing, base: Accepted, fromEpoch: number, replicas: ReplicaSet): Decision {
  const { record } = base;
  const ours = record.epoch === fromEpoch + 1 && sameReplicas(record.replicas, replicas);
  if (!ours && record.epoch !== fromEpoch) {
    // Our change may be among those that led here.
    return doubt.changeSent && record.epoch > fromEpoch + 1 ? finish({ status: 'unknown' }) : conflict(rules, chosen, base);
  }
  if (record.previous.length > 0) return finishJoint(rules, chosen, base);
  if (ours) return chosen ? finish({ status: 'committed', accepted: base }) : repair(base);
  const unsettled = [...new Set([...record.unsettled, ...record.replicas, ...replicas])];
  if (unsettled.length > maxUnsettled) return finish({ status: 'no-quorum' });
  // The newcomers are announced before anything is sent to them: should this change come to nothing, what it leaves with them must be known.
  if (rules.mustAnnounce(unsettled.length - record.unsettled.length)) return { type: 'propose', record: { ...record, unsettled }, purpose: 'repair' };
  const joint = { ...record, epoch: record.epoch + 1, replicas, previous: [record.replicas], unsettled };
  return { type: 'propose', record: joint, purpose: 'joint' };
}

function decideSettle(rules: Rules, { operation, chosen, reproposed }: Standing, base: Accepted): Decision {
  if (base.record.previous.length > 0) return finishJoint(rules, chosen, base);
  const { unsettled } = base.record;
  const also = operation.kind === 'settle' && !reproposed ? (operation.also ?? nobody).filter((peer) => !unsettled.includes(peer)) : nobody;
  if (chosen && unsettled.length + also.length === 0) return finish({ status: 'committed', accepted: base });
  if (unsettled.length + also.length > maxUnsettled) return finish({ status: 'no-quorum' });
  // At a ballot of our own: stragglers of changes that failed must meet a higher one wherever they arrive.
  if (!reproposed) return { type: 'propose', record: { ...base.record, unsettled: [...unsettled, ...also] }, purpose: 'reproposal' };
  return { type: 'tell', base, sets: [base.record.replicas, hostsToSettle(operation, base.record)] };
}

function decideRenew(rules: Rules, { chosen, reproposed }: Standing, base: Accepted): Decision {
  if (base.record.previous.length > 0) return finishJoint(rules, chosen, base);
  return reproposed ? finish({ status: 'committed', accepted: base }) : { type: 'propose', record: base.record, purpose: 'reproposal' };
}

/** Those that are left accept it as they do any record: of several that salvage the block, or write to it since, one is first. */
function decideSalvage({ doubt, pointer }: Standing, base: Accepted, operation: Extract<Operation, { kind: 'salvage' }>): Decision {
  const { record, ballot } = base;
  const { survivors, unsettled } = operation;
  const purpose = 'salvaged';
  if (unsettled.length > maxUnsettled) return finish({ status: 'no-quorum' });
  if (sameBallot(ballot, operation.from) && !leadsOn(pointer, operation.pointer)) {
    // Where the block was known to have gone on, what is left of it is an older value: under no version of that.
    const { epoch, version } = operation.pointer?.record ?? record;
    const next = { version: version > record.version ? version + 1 : record.version, epoch: Math.max(record.epoch, epoch) + 1 };
    return { type: 'propose', record: { ...record, ...next, replicas: survivors, previous: [], unsettled }, purpose };
  }
  if (!doubt.changeSent) return finish({ status: 'conflict', accepted: base });
  // What some accepted of it is brought through, with what was written since.
  return sameReplicas(record.replicas, survivors) && record.previous.length === 0
    ? { type: 'propose', record, purpose }
    : finish({ status: 'unknown' });
}

/**
 * All that are left promised, and none has a record: what says that the block is lost becomes its record, at a version and an epoch that no record of before can have reached.
 * What some accepted of it is brought through.
 */
function decideGiveUp(rules: Rules, { base, pointer, origin, round, doubt }: Standing, operation: Extract<Operation, { kind: 'give-up' }>): Decision {
  const { sets, unsettled, value } = operation;
  const purpose = 'given-up';
  if (base !== null) {
    if (sameOrigin(base.record.origin, origin)) return { type: 'propose', record: base.record, purpose };
    if (!rules.mayGiveUp(true)) return finish(doubt.changeSent ? { status: 'unknown' } : { status: 'conflict', accepted: base });
  }
  if (leadsOn(pointer, operation.pointer)) return finish({ status: 'conflict', accepted: null });
  const [replicas, ...others] = sets;
  if (replicas === undefined || unsettled.length > maxUnsettled) return finish({ status: 'no-quorum' });
  const previous = others.filter((set) => !sameReplicas(set, replicas));
  return { type: 'propose', record: { version: round, epoch: round, replicas, previous, unsettled, origin, value }, purpose };
}

/** Whether a pointer is newer than the newest that a person was shown: then it may lead to where the block lives on. */
function leadsOn(told: Accepted | null, shown: Accepted | null): boolean {
  return compareBallots(told?.ballot ?? null, shown?.ballot ?? null) > 0;
}

function decideForget(rules: Rules, chosen: boolean, base: Accepted): Decision {
  if (base.record.previous.length > 0) return finishJoint(rules, chosen, base);
  if (!chosen) return repair(base);
  if (base.record.value !== null || base.record.unsettled.length > 0) return finish({ status: 'conflict', accepted: base });
  return { type: 'tell', base, sets: [base.record.replicas] };
}

/** Drops the previous sets of a joint record, once it is chosen. */
function finishJoint(rules: Rules, chosen: boolean, base: Accepted): Decision {
  return rules.mayFinish(chosen) ? { type: 'propose', record: { ...base.record, previous: [] }, purpose: 'final' } : repair(base);
}

/** Brings the highest record seen to a quorum, as it is. */
function repair({ record }: Accepted): Decision {
  return { type: 'propose', record, purpose: 'repair' };
}

/** A conflict is a linearizable answer too: what it reports must be chosen. */
function conflict(rules: Rules, chosen: boolean, base: Accepted): Decision {
  return rules.mayAnswer(chosen) ? finish({ status: 'conflict', accepted: base }) : repair(base);
}

/** Of a value that was sent before nothing is known. */
export function unknown({ version, upon }: Pick<Doubt, 'version' | 'upon'>): ProposalOutcome {
  return version === Infinity ? { status: 'unknown' } : { status: 'unknown', sent: { from: version, upon } };
}

function finish(outcome: ProposalOutcome): Decision {
  return { type: 'finish', outcome };
}
