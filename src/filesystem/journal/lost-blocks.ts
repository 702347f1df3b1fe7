import { InfinitError } from '../../base/index.ts';

/** A block of one of a volume's journals that a person gave up, and that may have had something which is nowhere else. */
export interface LostJournalBlock {
  readonly journal: 'names' | 'contents';
  /** Counts the blocks of that journal from its first one on. */
  readonly position: number;
}

/** Blocks of a volume's own that all hosts which had them took along, and without which nobody opens it who was not told: its head, the record of its root directory, or the names there. */
export interface LostPart {
  readonly part: 'head' | 'root' | 'root-names';
}

export type LostBlock = LostJournalBlock | LostPart;

/** Why a volume is not opened: who opens it all the same is to have heard what that costs. */
export function lostInUse(volumeId: string, lost: LostBlock): InfinitError {
  return new InfinitError(
    'lost',
    `${saysLost(lost)} of volume ${volumeId} is lost with all its hosts: ${costOf(lost)}. ` +
      '"infinit volume check" says what there is without it, and "infinit volume check --repair" lets the volume be mounted so',
  );
}

/** Which block it is. */
export function saysLost(lost: LostBlock): string {
  if ('journal' in lost) return `block ${lost.position} of the journal of ${lost.journal}`;
  return {
    head: 'the block that says where the journals begin',
    root: 'the root directory',
    'root-names': 'the page of names of the root directory',
  }[lost.part];
}

/** What may be lost with a block. */
export function costOf(lost: LostBlock): string {
  if ('journal' in lost && lost.journal === 'contents')
    return 'small changes of files that were synced a moment before the volume was last in use may be lost';
  if ('journal' in lost || lost.part === 'head') return 'names, links and removals of a moment before the volume was last in use may be lost';
  return lost.part === 'root' ? 'its owner, mode and times are lost' : 'what was in it has no name any more, and gets one in /lost+found';
}
