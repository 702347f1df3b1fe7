import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { InfinitError, insistOnFileNow, plainly } from '../../base/index.ts';
import { nodeFiles } from '../../disk/index.ts';

/** Bytes of an AES-256 key. */
const keyBytes = 32;
/** Of a file of one, however it is written down. */
const maxFileBytes = 4096;

/**
 * The key of an encrypted volume: a file of mode 0600 in this host's key directory, made with the volume. A key never travels: another host
 * that is to mount the volume needs a copy of the file.
 */
export function volumeKey(directory: string, { name, id }: { readonly name: string; readonly id: string }): Uint8Array {
  const file = path.join(directory, `${id}.key`);
  insistOnFileNow(file, { code: 'wrong-key', maxBytes: maxFileBytes });
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new InfinitError('wrong-key', `volume "${name}" is encrypted and its key is not on this host: copy ${file} from a host that has it`, {
      cause,
    });
  }
  const key = Buffer.from(text, 'hex');
  if (key.length !== keyBytes) throw new InfinitError('wrong-key', `${file} must hold ${keyBytes * 2} hex digits`);
  return key;
}

/** Makes the key of a new encrypted volume. It is on stable storage when this resolves: without it what is acknowledged later could not be read. @throws InfinitError `disk-failed`. */
export async function createVolumeKey(directory: string, volumeId: string): Promise<void> {
  const file = path.join(directory, `${volumeId}.key`);
  try {
    await nodeFiles.makeDirectory(directory);
    await nodeFiles.replace(file, `${randomBytes(keyBytes).toString('hex')}\n`);
  } catch (cause) {
    throw new InfinitError('disk-failed', `the volume's key cannot be written to ${file}: ${plainly(cause)}`, { cause });
  }
}

/** Forgets the key of a volume whose data is deleted. */
export function removeVolumeKey(directory: string, volumeId: string): void {
  rmSync(path.join(directory, `${volumeId}.key`), { force: true });
}
