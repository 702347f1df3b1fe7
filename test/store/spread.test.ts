import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { immutableAddress } from '../../src/block/index.ts';
import { Spread } from '../../src/store/spread.ts';

const address = immutableAddress(Uint8Array.of(1));
const options = { address, ranked: ['a', 'b', 'c', 'd'], wanted: 3, self: 'a', deadlineMs: 2000 };
const unreachable = (): Promise<never> => Promise.reject(new InfinitError('unavailable', 'no connection'));

test('hosts that cannot be reached for a moment are asked again', async () => {
  const asked: string[] = [];
  const ask = (peer: string): Promise<unknown> => {
    asked.push(peer);
    return asked.length <= 3 ? unreachable() : Promise.resolve();
  };
  await new Spread({ ...options, local: Promise.resolve(), ask }).done;
  assert.deepEqual(asked.slice(0, 3), ['b', 'c', 'd']);
});

test('a host whose disk is full is replaced by the next, not asked again', async () => {
  const asked: string[] = [];
  const ask = (peer: string): Promise<unknown> => {
    asked.push(peer);
    return peer === 'd' ? Promise.resolve() : Promise.reject(new InfinitError('disk-full', 'no room'));
  };
  await new Spread({ ...options, local: Promise.resolve(), ask }).done;
  assert.deepEqual(asked, ['b', 'c', 'd']);
});

test('where no majority can be reached the deadline ends it, and where none can take it nobody waits', async () => {
  const local = Promise.resolve();
  await assert.rejects(new Spread({ ...options, deadlineMs: 250, local, ask: unreachable }).done, { code: 'unavailable' });
  const started = performance.now();
  const full = (): Promise<never> => Promise.reject(new InfinitError('disk-full', 'no room'));
  await assert.rejects(new Spread({ ...options, deadlineMs: 60_000, local, ask: full }).done, {
    code: 'disk-full',
    message: /1 of 3 copies were made, 2 are needed, and 3 hosts have no room/,
  });
  const some = (peer: string): Promise<never> => (peer === 'b' ? full() : unreachable());
  await assert.rejects(new Spread({ ...options, deadlineMs: 250, local, ask: some }).done, { code: 'unavailable' });
  assert.ok(performance.now() - started < 30_000);
});

test('hosts that are out of reach, or have not answered yet, count as ones that may have room', async () => {
  const local = Promise.reject(new InfinitError('disk-full', 'no room'));
  local.catch(() => {});
  const three = { ...options, ranked: ['a', 'b', 'c'], local };
  // Whichever of the two fails first in the last round, the other is still being asked.
  await assert.rejects(new Spread({ ...three, deadlineMs: 250, ask: unreachable }).done, { code: 'unavailable' });
});

test('where those out of reach would not make a majority either, they are not asked again', async () => {
  const asked: string[] = [];
  const ask = (peer: string): Promise<unknown> => {
    asked.push(peer);
    return peer === 'c' ? Promise.reject(new InfinitError('disk-full', 'no room')) : unreachable();
  };
  const local = Promise.reject(new InfinitError('disk-full', 'no room'));
  local.catch(() => {});
  await assert.rejects(new Spread({ ...options, ranked: ['a', 'b', 'c'], deadlineMs: 1000, local, ask }).done, {
    code: 'disk-full',
    message: /2 hosts have no room/,
  });
  assert.deepEqual(asked, ['b', 'c']);
});

test('the bytes are released when every copy is made, not when a majority is, and never once a copy failed', async () => {
  let released = 0;
  const onReleased = (): void => void released++;
  const last = Promise.withResolvers<void>();
  const ask = (peer: string): Promise<unknown> => (peer === 'c' ? last.promise : Promise.resolve());
  await new Spread({ ...options, local: Promise.resolve(), ask, onReleased }).done;
  assert.equal(released, 0, 'one is still on its way');
  last.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(released, 1);
  const failing = (peer: string): Promise<unknown> =>
    peer === 'c' ? Promise.reject(new InfinitError('unknown-outcome', 'it may be on its way')) : Promise.resolve();
  await new Spread({ ...options, local: Promise.resolve(), ask: failing, onReleased }).done;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(released, 1);
});

test('where no host takes blocks there is nobody to wait for', async () => {
  const none = { ...options, ranked: [], wanted: 0, local: undefined, ask: unreachable };
  await assert.rejects(new Spread(none).done, { code: 'unavailable' });
});
