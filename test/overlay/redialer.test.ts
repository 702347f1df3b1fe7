import { test } from 'node:test';

import { systemRandom } from '../../src/base/index.ts';
import { type Dialler, Redialer } from '../../src/overlay/redialer.ts';
import type { PeerId } from '../../src/overlay/index.ts';
import { eventually } from '../suites/transport-suite.ts';

test('a session that is lost while those who hear of it are told is opened again', async () => {
  const connected = new Set<PeerId>();
  let dials = 0;
  const dialler: Dialler = {
    self: 'a',
    isConnected: (peer) => connected.has(peer),
    connectedCount: () => connected.size,
    connect: async () => {
      dials++;
      connected.add('b');
      // As a listener for peers that came up would do that drops this one: the dial is still under way.
      if (dials === 1) {
        connected.delete('b');
        redialer.lost('b');
      }
      return 'b';
    },
    lookUp: async () => [],
    onFailure: () => {},
  };
  const redialer = new Redialer(dialler, systemRandom);
  try {
    redialer.setTargets([{ peer: 'b', addresses: ['b:1'] }]);
    await eventually(() => dials === 2 && connected.has('b'), 'b is dialled again', 2000);
  } finally {
    redialer.close();
  }
});
