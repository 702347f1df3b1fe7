import { randomBytes } from 'node:crypto';

import { Sealer } from '../../block/index.ts';
import type { NodeSealer } from '../../tree/index.ts';

/** The catalogue is not secret: it is sealed plain, which still checks every byte. */
export function plainNodeSealer(): NodeSealer {
  const sealer = new Sealer();
  const volume = new Uint8Array(16);
  const session = randomBytes(4).readUInt32LE();
  let sequence = 0;
  return {
    seal: (address, body) => sealer.sealPayload(address, { volume, inode: 0, epoch: 0, session, sequence: sequence++ }, body),
    open: (address, payload) => sealer.openPayload(address, payload).body,
  };
}
