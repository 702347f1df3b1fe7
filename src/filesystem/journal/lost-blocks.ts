import { InfinitError } from '../../base/index.ts';

/** A block of one of a volume's journals that a person gave up, and that may have had something which is nowhere else. */
export interface LostBlock {
  readonly journal: 'names' | 'contents';
  /** Counts the blocks of that journal from its first one on. */
  readonly position: number;
}

/** Why a volume is not opened: who opens it all the same is to have heard what that costs. */
export function lostInUse(volumeId: string, { journal, position }: LostBlock): InfinitError {
  return new InfinitError(
    'lost',
    `block ${position} of the journal of ${journal} of volume ${volumeId} was given up with all its hosts, and may have had what is nowhere else: ${costOf(journal)}. ` +
      '"infinit volume check" says what there is without it, and "infinit volume check --repair" lets the volume be mounted so',
  );
}

/** What may be lost with a block. */
export function costOf(journal: LostBlock['journal']): string {
  return journal === 'names'
    ? 'names, links and removals of a moment before the volume was last in use'
    : 'small changes of files that were synced a moment before the volume was last in use';
}
