import { InfinitError } from '../base/index.ts';
import { type Address, isGivenUp, readGivenUp } from '../block/index.ts';
import type { Accepted, ProposalOutcome } from '../consensus/index.ts';
import type { StoredBlock, UpdateOutcome } from './block-store.ts';

/** What became of an update, in the store's words. */
export function outcomeOf(outcome: ProposalOutcome, address: Address): UpdateOutcome {
  switch (outcome.status) {
    case 'committed':
      return { status: 'committed', version: outcome.accepted?.record.version ?? 0 };
    case 'conflict':
      return isLost(outcome.accepted)
        ? { status: 'failed', code: 'lost', message: saysLost(outcome.accepted!, address) }
        : { status: 'conflict', current: stored(outcome, address) };
    case 'no-quorum':
      return outcome.lost === true
        ? { status: 'failed', code: 'lost', message: mayBeLost(address) }
        : { status: 'failed', code: 'unavailable', message: `too few replicas of block ${address} answered` };
    case 'unknown':
      return {
        status: 'unknown',
        code: 'unknown-outcome',
        message: `whether block ${address} was written is not known`,
        ...(outcome.sent === undefined ? {} : { sent: outcome.sent }),
      };
  }
}

/** The block that a read found. @throws InfinitError `unavailable` where no quorum answered, `lost` where it was given up, or may be lost with all that had it. */
export function blockIn(outcome: ProposalOutcome, address: Address): StoredBlock | undefined {
  if (outcome.status === 'committed') return stored(outcome, address);
  if (outcome.status === 'no-quorum' && outcome.lost === true) throw new InfinitError('lost', mayBeLost(address));
  throw new InfinitError('unavailable', `too few replicas of block ${address} answered`);
}

/** @throws InfinitError `lost`. */
export function blockOf(accepted: Accepted, address: Address): StoredBlock | undefined {
  if (isLost(accepted)) throw new InfinitError('lost', saysLost(accepted, address));
  const { record } = accepted;
  return record.value === null ? undefined : { version: record.version, payload: record.value };
}

function stored(outcome: ProposalOutcome & { status: 'committed' | 'conflict' }, address: Address): StoredBlock | undefined {
  return outcome.accepted === null ? undefined : blockOf(outcome.accepted, address);
}

function isLost(accepted: Accepted | null): boolean {
  return accepted !== null && isGivenUp(accepted.record.value);
}

function mayBeLost(address: Address): string {
  return `block ${address} is not there, and may have been lost with all its hosts: see infinit status`;
}

function saysLost({ record }: Accepted, address: Address): string {
  const who = readGivenUp(record.value);
  return `block ${address} is lost with all its hosts${who === undefined ? '' : `: ${who.by} gave it up at ${who.at}`}`;
}
