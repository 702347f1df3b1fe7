import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { type Address, kindOf } from '../../src/block/index.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import { type Step, walkUntilDone, type WalkProgress } from '../../src/repair/walk.ts';

const signal = new AbortController().signal;
/** `i` immutable, `m` mutable, `n` named, and a number: in the order of their addresses. */
const names = ['i1', 'i2', 'i3', 'm1', 'm2', 'n1'];
const prefixes: Readonly<Record<string, string>> = { i: '10', m: '12', n: '13' };
const addressOf = (name: string): Address => (prefixes[name[0]!]! + name[1]!.repeat(62)) as Address;
const nameOf = (address: Address): string => kindOf(address)[0]! + address.at(-1)!;

const ignore = (): void => {};
const progress = { enter: ignore, advance: ignore, walked: ignore };
const never = (): (() => void) => () => {};
/** Hosts neither come nor go. */
const stillness = { transport: { onPeerUp: never, onPeerDown: never }, views: { onChange: never } };

/** Walks over the blocks, each of 10 bytes. Returns which were stepped on, try by try. `open`: those that are to be tried again the first time. */
async function walked(saved: Map<string, string>, open: readonly string[] = [], told: WalkProgress = progress): Promise<string[]> {
  const addresses = names.map(addressOf);
  const housekeeping = {
    list: (after: Address | undefined, limit: number) =>
      Promise.resolve(
        addresses
          .filter((address) => after === undefined || address > after)
          .map((address) => ({ address, size: 10 }))
          .slice(0, limit),
      ),
    load: (key: string) => Promise.resolve(saved.get(key)),
    save: (key: string, text: string) => (saved.set(key, text), Promise.resolve()),
  };
  const steps: string[] = [];
  const step: Step = (part, page, patience) => {
    steps.push(`${part} ${page.map(nameOf).join()}`);
    return Promise.resolve(patience > 0 ? [] : page.filter((address) => open.includes(nameOf(address))));
  };
  await walkUntilDone({ housekeeping, ...stillness } as unknown as Standpoint, 'key', step, told, signal);
  return steps;
}

test('registers are walked over before copies, however many of these there are', async () => {
  assert.deepEqual(await walked(new Map()), ['registers m1,m2,n1', 'copies i1,i2,i3']);
});

test('what is open of the registers is tried again after the copies: these do not wait for it', async () => {
  assert.deepEqual(await walked(new Map(), ['m2']), ['registers m1,m2,n1', 'copies i1,i2,i3', 'registers m2']);
});

test('a walk goes on where it came to with each part, and the next one begins anew', async () => {
  const saved = new Map([
    ['walk/registers', `key ${addressOf('m2')}`],
    ['walk/copies', `key ${addressOf('i1')}`],
  ]);
  assert.deepEqual(await walked(saved), ['registers n1', 'copies i2,i3']);
  assert.deepEqual(await walked(saved), ['registers m1,m2,n1', 'copies i1,i2,i3']);
});

test('how much was walked over is told part by part, and of what lies before the place that was saved', async () => {
  const told: string[] = [];
  const listener: WalkProgress = {
    enter: (part, before) => told.push(`${part} ${JSON.stringify(before)}`),
    advance: ({ blocks, bytes }) => told.push(`${blocks} of ${bytes}`),
    walked: () => told.push('end'),
  };
  const saved = new Map([
    ['walk/registers', `key ${addressOf('m2')} 2 20`],
    // As it was saved before amounts were.
    ['walk/copies', `key ${addressOf('i1')}`],
  ]);
  await walked(saved, ['n1'], listener);
  assert.deepEqual(told, ['registers {"blocks":2,"bytes":20}', '1 of 10', 'copies {"blocks":0,"bytes":0}', '2 of 20', 'end']);
});

test('what was saved of another walk counts for nothing', async () => {
  const saved = new Map([['walk/registers', `other ${addressOf('m2')}`]]);
  assert.deepEqual(await walked(saved), ['registers m1,m2,n1', 'copies i1,i2,i3']);
});

test('much that is open is tried again soon after a host came or went or the roster changed, and else after long', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    // So many that to try them is work: ten seconds lie between two tries.
    const page = Array.from({ length: 5000 }, (_, index) => addressOf('i1').slice(0, -4).concat(index.toString(16).padStart(4, '0')) as Address);
    const listeners: Record<string, () => void> = {};
    const listen = (name: string) => (listener: () => void) => {
      listeners[name] = listener;
      return () => delete listeners[name];
    };
    const standpoint = {
      housekeeping: {
        list: (after: Address | undefined, limit: number) =>
          Promise.resolve(
            page
              .filter((address) => after === undefined || address > after)
              .slice(0, limit)
              .map((address) => ({ address, size: 10 })),
          ),
        load: () => Promise.resolve(''),
        save: () => Promise.resolve(),
      },
      transport: { onPeerUp: listen('up'), onPeerDown: listen('down') },
      views: { onChange: listen('roster') },
    };
    let [tries, lastTry] = [0, 6];
    const step: Step = (_part, addresses, patience) => {
      tries = patience;
      return Promise.resolve(patience < lastTry ? addresses : []);
    };
    const passed = async (ms: number): Promise<number> => {
      mock.timers.tick(ms);
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      return tries;
    };
    const walk = walkUntilDone(standpoint as unknown as Standpoint, 'key', step, progress, signal);
    await passed(0);

    assert.equal(await passed(1000), 0);
    assert.equal(await passed(8000), 0);
    assert.equal(await passed(1000), 1);
    let expected = 1;
    for (const change of ['up', 'down', 'roster']) {
      assert.equal(await passed(1000), expected);
      assert.equal(await passed(1000), expected);
      listeners[change]!();
      assert.equal(await passed(0), ++expected, change);
    }
    // Not at once where the last try was just now.
    listeners['up']!();
    assert.equal(await passed(999), 4);
    assert.equal(await passed(1), 5);
    lastTry = 0;
    assert.equal(await passed(1000), 5);
    assert.equal(await passed(9000), 6);
    await walk;
    assert.deepEqual(listeners, {});
  } finally {
    mock.timers.reset();
  }
});
