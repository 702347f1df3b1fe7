import { InfinitError } from '../../base/index.ts';
import type { DoneCall } from '../journal/call-table.ts';
import { FileSystemError, type MaybePromise, ProvenFailure } from '../file-system.ts';
import type { Volume } from '../volume.ts';
import type { CallTag, SharedMethod } from './calls.ts';
import { recorded } from './done-calls.ts';

/** What came of a call that was asked of the host that had the volume before this one; undefined: nobody knows. */
export function earlier(
  { calls }: Partial<Pick<Volume, 'calls'>>,
  method: SharedMethod,
  tag: CallTag | undefined,
): DoneCall | 'not done' | undefined {
  return tag === undefined || !recorded.has(method) ? undefined : calls?.outcomeOf(tag, tag.calls ?? 0);
}

/** What a request comes to that was sent again, and is sure not to have been done before. */
export async function proven<T>(work: () => MaybePromise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof FileSystemError ? new ProvenFailure(error) : error;
  }
}

/** Whether it was done is not known. */
export function holderGone(): InfinitError {
  return new InfinitError('unknown-outcome', 'the host that may have done it does not serve the volume any more');
}
