import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { InfinitError, systemRandom } from '../base/index.ts';
import { KeyPair } from '../overlay/index.ts';

const fileName = 'host.key';
/** Bytes of an Ed25519 seed. */
const keyBytes = 32;

/** The key that is this host's identity, made at the first start; a file of mode 0600 in the state directory. */
export function hostKey(stateDir: string): KeyPair {
  const file = path.join(stateDir, fileName);
  try {
    const seed = Buffer.from(readFileSync(file, 'utf8').trim(), 'hex');
    if (seed.length !== keyBytes)
      throw new InfinitError('damaged', `${file} must hold ${keyBytes * 2} hex digits: restore it, or remove it to give this host a new identity`);
    return new KeyPair(seed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const seed = systemRandom.bytes(keyBytes);
  writeFileSync(file, `${Buffer.from(seed).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  return new KeyPair(seed);
}
