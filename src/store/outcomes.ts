import { InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { Accepted, ProposalOutcome } from '../consensus/index.ts';
import type { StoredBlock, UpdateOutcome } from './block-store.ts';

/** What became of an update, in the store's words. */
export function outcomeOf(outcome: ProposalOutcome, address: Address): UpdateOutcome {
  switch (outcome.status) {
    case 'committed':
      return { status: 'committed', version: outcome.accepted?.record.version ?? 0 };
    case 'conflict':
      return { status: 'conflict', current: stored(outcome) };
    case 'no-quorum':
      return { status: 'failed', code: 'unavailable', message: `too few replicas of block ${address} answered` };
    case 'unknown':
      return {
        status: 'unknown',
        code: 'unknown-outcome',
        message: `whether block ${address} was written is not known`,
        ...(outcome.sent === undefined ? {} : { sent: outcome.sent }),
      };
  }
}

/** The block that a read found. @throws InfinitError `unavailable` where no quorum answered. */
export function blockIn(outcome: ProposalOutcome, address: Address): StoredBlock | undefined {
  if (outcome.status === 'committed') return stored(outcome);
  throw new InfinitError('unavailable', `too few replicas of block ${address} answered`);
}

export function blockOf({ record }: Accepted): StoredBlock | undefined {
  return record.value === null ? undefined : { version: record.version, payload: record.value };
}

function stored(outcome: ProposalOutcome & { status: 'committed' | 'conflict' }): StoredBlock | undefined {
  return outcome.accepted === null ? undefined : blockOf(outcome.accepted);
}
