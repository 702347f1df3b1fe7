import path from 'node:path';

import manifest from '../../package.json' with { type: 'json' };
import { checkedOut } from './checkout.ts';

/** So many of a commit's digits tell it from all others. */
const digits = 9;

const commit = checkedOut(path.resolve(import.meta.dirname, '../..'))?.slice(0, digits);

/** The version in package.json and, where that is known, the commit, as `0.1.0+1a2b3c4d5`. */
export const version: string = commit === undefined ? manifest.version : `${manifest.version}+${commit}`;
