import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { Roster } from '../../src/placement/index.ts';
import { Comparison } from '../../src/repair/comparison.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';

const roster = Roster.of(['a', 'b'].map((peer) => ({ peer, zone: '', capacity: 1 })));

type Serve = (peer: string, body: Uint8Array, call: { readonly signal: AbortSignal }) => Promise<Uint8Array>;
/** Whoever asks waits. */
const waiting = { signal: new AbortController().signal };

/** That of host a, of the hosts a and b, as far as a comparison looks at it. */
function standpointOf(parts: { readonly transport: object; readonly pace?: object; readonly housekeeping?: object }): Standpoint {
  const pace = {
    breathe: () => Promise.resolve(),
    each: () => Promise.resolve(),
    run: <T>(job: () => Promise<T>): Promise<T> => job(),
    ...parts.pace,
  };
  const transport = { handle: () => () => {}, isConnected: () => true, ...parts.transport };
  return { self: 'a', newest: { number: 1, roster, replicas: 2 }, home: () => ['a', 'b'], ...parts, pace, transport } as unknown as Standpoint;
}

test('a host that does not answer leaves a comparison open: that nothing was found says nothing then', async () => {
  let answer: () => Promise<Uint8Array> = () => Promise.reject(new InfinitError('unavailable', 'no answer in 5 s'));
  const standpoint = standpointOf({ transport: { request: () => answer() } });
  const comparison = new Comparison(standpoint);
  const addresses = [immutableAddress(Buffer.from('x'))];
  const signal = new AbortController().signal;
  assert.equal((await comparison.page(undefined, undefined, addresses, signal)).isOpen, true);
  answer = () => Promise.resolve(new Uint8Array(0));
  assert.equal((await comparison.page(undefined, undefined, addresses, signal)).isOpen, false);
});

test('a host of no view has nothing to compare, and has nothing looked through', async () => {
  let serve: Serve = () => Promise.reject(new Error('nobody serves'));
  let looked = 0;
  const standpoint = standpointOf({
    transport: { handle: (_kind: number, handler: typeof serve) => ((serve = handler), () => {}) },
    housekeeping: { list: () => (looked++, Promise.resolve([])) },
  });
  const comparison = new Comparison(standpoint);
  const question = Buffer.from(JSON.stringify({ view: 1, after: null, last: null, digest: '' }));
  assert.equal((await serve('stranger', question, waiting)).length, 0);
  assert.equal(looked, 0);
  assert.ok((await serve('b', question, waiting)).length > 0);
  assert.equal(looked, 1);
  comparison.close();
});

test('of many questions of one host one is looked into at a time, and none that nobody waits for any more; others do not wait for them', async () => {
  let serve: Serve = () => Promise.reject(new Error('nobody serves'));
  const listings: (() => void)[] = [];
  const standpoint = standpointOf({
    transport: { handle: (_kind: number, handler: Serve) => ((serve = handler), () => {}) },
    housekeeping: { list: () => new Promise((resolve) => listings.push(() => resolve([]))) },
  });
  const comparison = new Comparison(standpoint);
  const question = Buffer.from(JSON.stringify({ view: 1, after: null, last: null, digest: '' }));
  const gone = new AbortController();
  const [first, ...others] = Array.from({ length: 100 }, (_, index) => serve('b', question, index === 0 ? waiting : { signal: gone.signal }));
  const own = serve('a', question, waiting);
  assert.equal(listings.length, 2, 'one of each host');
  gone.abort();
  for (const answer of listings) answer();
  for (const { status } of await Promise.allSettled(others)) assert.equal(status, 'rejected');
  assert.ok((await first!).length > 0 && (await own).length > 0);
  assert.equal(listings.length, 2);
  comparison.close();
});

test('a host whose answers do not come any further does not hold the check up for ever', async () => {
  const first = immutableAddress(Buffer.from('x'));
  let asked = 0;
  const standpoint = standpointOf({
    transport: {
      request: () => {
        // Ends the loop of a host that goes on asking, so that the test fails instead of hanging.
        if (++asked > 3) return Promise.resolve(new Uint8Array(0));
        return Promise.resolve(Buffer.from(JSON.stringify({ lines: [], until: first })));
      },
    },
  });
  const comparison = new Comparison(standpoint);
  const { isOpen } = await comparison.page(undefined, undefined, [], new AbortController().signal);
  assert.deepEqual({ isOpen, asked }, { isOpen: true, asked: 2 });
});

test('the registers of a page are read in a lane of repair, and no other host is asked while it is taken', async () => {
  const seen: string[] = [];
  let lanes = 0;
  const standpoint = standpointOf({
    transport: {
      request: () => {
        seen.push(`asked in ${lanes} lanes`);
        return Promise.resolve(new Uint8Array(0));
      },
    },
    housekeeping: {
      inspect: () => {
        seen.push(`read in ${lanes} lanes`);
        return Promise.resolve(undefined);
      },
    },
    pace: {
      run: async (job: () => Promise<void>) => {
        lanes++;
        await job();
        lanes--;
      },
    },
  });
  const comparison = new Comparison(standpoint);
  await comparison.page(undefined, undefined, [mutableAddress(), mutableAddress()], new AbortController().signal);
  assert.deepEqual(seen, ['read in 1 lanes', 'read in 1 lanes', 'asked in 0 lanes']);
});
