import type { Address } from '../block/index.ts';
import type { LostBlock } from './journal/lost-blocks.ts';

/** Something that should not be. */
export type Problem =
  /** Blocks of it are lost with all their hosts: nobody can read it. */
  | { readonly kind: 'lost'; readonly inode: number; readonly directory?: number; readonly name?: string }
  /** A page of the names of a directory is lost: what it named has its record yet. */
  | { readonly kind: 'lost-names'; readonly inode: number }
  /** It is lost, and may have had what is nowhere else. */
  | ({ readonly kind: 'lost-block' } & LostBlock)
  | { readonly kind: 'dangling-name'; readonly directory: number; readonly name: string; readonly inode: number }
  | { readonly kind: 'wrong-type'; readonly directory: number; readonly name: string; readonly inode: number }
  | { readonly kind: 'wrong-links'; readonly inode: number; readonly links: number; readonly names: number }
  | { readonly kind: 'wrong-parent'; readonly inode: number; readonly parent: number; readonly foundIn: number }
  | { readonly kind: 'two-parents'; readonly inode: number; readonly foundIn: number }
  | { readonly kind: 'missing-block'; readonly inode: number; readonly address: Address }
  | { readonly kind: 'shared-block'; readonly inode: number; readonly address: Address }
  | { readonly kind: 'leaked-block'; readonly inode: number; readonly address: Address }
  | { readonly kind: 'leaked-inode'; readonly inode: number }
  | { readonly kind: 'wrong-usage'; readonly what: 'allocated' | 'files'; readonly counted: number; readonly recorded: number };

/** What is lost hides others, and nobody knows how many. */
export function hasLost(problems: readonly Problem[]): boolean {
  return problems.some(({ kind }) => kind === 'lost' || kind === 'lost-names');
}
