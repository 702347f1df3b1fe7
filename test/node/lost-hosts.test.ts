/** What the main thread of a volume's holder makes of other hosts that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress } from '../../src/block/index.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import type { VolumeSharing } from '../../src/node/sharing/volume-sharing.ts';
import type { VolumeCommand } from '../../src/node/volumes/volume-worker-protocol.ts';
import { MemoryNetwork, type Transport } from '../../src/overlay/index.ts';
import { eventually } from '../docker/process.ts';
import { volumeId } from '../filesystem/harness.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { sharingOf } from './sharing.ts';

function share(transport: Transport, store: MemoryBlockStore, sent: VolumeCommand[], lost: ReadonlyMap<string, number> = new Map()): VolumeSharing {
  const send = (command: VolumeCommand): void => {
    sent.push(command);
    // What a worker would open the volume over.
    if (command.type === 'holder' || command.type === 'guest') command.store.close();
  };
  return sharingOf(transport, store, send, { lostFor: () => lost, isDeleted: () => new Promise(() => {}) });
}

function dismissed(sent: readonly VolumeCommand[]): string[] {
  return sent.flatMap((command) => (command.type === 'dismiss' ? [command.peer] : []));
}

/** The record of the lease says first who is given up. */
async function noted(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('a host that is lost and does not come back is given up, and one that comes back is not', async (t) => {
  const network = new MemoryNetwork();
  await using self = network.open('self');
  network.open('gone');
  network.open('back');
  const sent: VolumeCommand[] = [];
  await using sharing = share(self, new MemoryBlockStore(), sent);
  await sharing.start();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const peer of ['gone', 'back']) network.crash(peer);
  t.mock.timers.tick(2000);
  assert.deepEqual(dismissed(sent), []);
  await using _back = network.open('back');
  t.mock.timers.tick(3000);
  await noted();
  assert.deepEqual(dismissed(sent), ['gone']);
  t.mock.timers.tick(60_000);
  await noted();
  assert.deepEqual(dismissed(sent), ['gone']);
  t.mock.timers.reset();
});

test('a host that went with its network is given up as soon as one that was killed: from when it was heard last', async (t) => {
  const network = new MemoryNetwork();
  await using self = network.open('self');
  network.open('silent');
  const sent: VolumeCommand[] = [];
  await using sharing = share(self, new MemoryBlockStore(), sent, new Map([['silent', 1500]]));
  await sharing.start();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  network.crash('silent');
  t.mock.timers.tick(2400);
  assert.deepEqual(dismissed(sent), []);
  t.mock.timers.tick(200);
  await noted();
  assert.deepEqual(dismissed(sent), ['silent']);
  t.mock.timers.reset();
});

test('who is back before its loss is noted, and lost once more, is noted before it is given up', async (t) => {
  const network = new MemoryNetwork();
  await using self = network.open('self');
  network.open('other');
  const store = new MemoryBlockStore();
  const sent: VolumeCommand[] = [];
  const held = Promise.withResolvers<void>();
  let holdsBack = false;
  const slow = new Proxy(store, {
    get: (target, name) =>
      name === 'commit'
        ? async (...args: Parameters<MemoryBlockStore['commit']>) => {
            if (holdsBack) await held.promise;
            return target.commit(...args);
          }
        : (Reflect.get(target, name) as () => unknown).bind(target),
  });
  await using sharing = share(self, slow, sent);
  await sharing.start();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  holdsBack = true;
  network.crash('other');
  t.mock.timers.tick(4000);
  await noted();
  network.open('other');
  network.crash('other');
  t.mock.timers.tick(4000);
  await noted();
  assert.deepEqual(dismissed(sent), []);
  held.resolve();
  for (let pass = 0; pass < 5; pass++) {
    await noted();
    t.mock.timers.tick(1000);
  }
  await noted();
  assert.deepEqual(dismissed(sent), ['other']);
  const block = await store.fetch(namedAddress(volumeId, 'lease'));
  assert.deepEqual((JSON.parse(Buffer.from(block!.payload).toString()) as { dismissed?: unknown }).dismissed, ['other']);
  t.mock.timers.reset();
});

test('whose locks a new holder waits for: of those that have the volume mounted, do not answer or have been away for a moment only', async () => {
  const network = new MemoryNetwork();
  await using self = network.open('self');
  const answers: Readonly<Record<string, () => Uint8Array>> = {
    mounted: () => Buffer.from('["v"]'),
    other: () => Buffer.from('[]'),
    ill: () => {
      throw new Error('ill');
    },
  };
  await using others = new AsyncDisposableStack();
  for (const [peer, answer] of Object.entries(answers)) others.use(network.open(peer)).handle(nodeKinds.volumeHolders, answer);
  const store = new MemoryBlockStore();
  const payload = Buffer.from(JSON.stringify({ holder: 'before', count: 7, released: false, termMs: 50 }));
  await store.commit([{ update: [{ address: namedAddress(volumeId, 'lease'), expect: 'absent', payload }] }]);
  const sent: VolumeCommand[] = [];
  await using sharing = share(
    self,
    store,
    sent,
    new Map([
      ['before', 1500],
      ['dead', 4500],
    ]),
  );
  await sharing.start();
  const open = await eventually('it has the lease', () => sent.find((command) => command.type === 'holder'));
  assert.deepEqual(open.awaited.toSorted(), ['ill', 'mounted']);
  assert.deepEqual(open.lost, [{ peer: 'before', ms: 2500 }]);
  assert.equal(open.alone, false);
});
