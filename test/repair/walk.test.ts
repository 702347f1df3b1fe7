import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, kindOf } from '../../src/block/index.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import { type Step, walkUntilDone } from '../../src/repair/walk.ts';

const signal = new AbortController().signal;
/** `i` immutable, `m` mutable, `n` named, and a number: in the order of their addresses. */
const names = ['i1', 'i2', 'i3', 'm1', 'm2', 'n1'];
const prefixes: Readonly<Record<string, string>> = { i: '10', m: '12', n: '13' };
const addressOf = (name: string): Address => (prefixes[name[0]!]! + name[1]!.repeat(62)) as Address;
const nameOf = (address: Address): string => kindOf(address)[0]! + address.at(-1)!;

/** Walks over the blocks. Returns which were stepped on, try by try. `open`: those that are to be tried again the first time. */
async function walked(saved: Map<string, string>, open: readonly string[] = []): Promise<string[]> {
  const addresses = names.map(addressOf);
  const housekeeping = {
    list: (after: Address | undefined, limit: number) =>
      Promise.resolve(
        addresses
          .filter((address) => after === undefined || address > after)
          .map((address) => ({ address }))
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
  await walkUntilDone({ housekeeping } as unknown as Standpoint, 'key', step, () => {}, signal);
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

test('what was saved of another walk counts for nothing', async () => {
  const saved = new Map([['walk/registers', `other ${addressOf('m2')}`]]);
  assert.deepEqual(await walked(saved), ['registers m1,m2,n1', 'copies i1,i2,i3']);
});
