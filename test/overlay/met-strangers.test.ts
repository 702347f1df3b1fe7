import assert from 'node:assert/strict';
import { test } from 'node:test';

import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { PeerId } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { createLibp2p } from 'libp2p';

import { systemRandom } from '../../src/base/index.ts';
import { KeyPair } from '../../src/overlay/index.ts';
import { MetStrangers } from '../../src/overlay/libp2p/met-strangers.ts';

function someone(): PeerId {
  const key = new KeyPair(systemRandom.bytes(32));
  return peerIdFromPrivateKey(privateKeyFromRaw(Buffer.concat([key.seed, key.publicKey])));
}

test('of hosts that came by and are gone libp2p remembers a bounded number, and all members', { timeout: 300_000 }, async () => {
  const libp2p = await createLibp2p({ start: false });
  const { peerStore } = libp2p;
  const [member, connected] = [someone(), someone()];
  const strangers = new MetStrangers(
    { peerStore, getConnections: (peer) => (peer?.equals(connected) === true ? [{} as never] : []) },
    (peer) => peer === member.toString(),
  );
  const meet = async (peer: PeerId): Promise<void> => {
    await peerStore.merge(peer, { protocols: ['/infinit/admission/1'] });
    strangers.met(peer);
  };
  await meet(member);
  await meet(connected);
  for (let index = 0; index < 1200; index++) await meet(someone());
  let remembered = Infinity;
  while (remembered >= 400) remembered = (await peerStore.all()).length;
  assert.ok(await peerStore.has(member));
  assert.ok(await peerStore.has(connected));
});
