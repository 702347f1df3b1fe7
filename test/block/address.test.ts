import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import {
  addressBytes,
  addressFromBytes,
  addressToBytes,
  hashesTo,
  immutableAddress,
  isAddress,
  kindOf,
  mutableAddress,
  namedAddress,
  parseAddress,
} from '../../src/block/index.ts';

const bytes = fc.uint8Array({ maxLength: 200 });

test('an address says its kind, goes through text and bytes, and prints as 64 hex digits', () => {
  const address = fc.oneof(
    bytes.map(immutableAddress),
    fc.uint8Array({ minLength: 31, maxLength: 31 }).map(mutableAddress),
    fc.tuple(fc.string(), fc.string()).map(([owner, name]) => namedAddress(owner, name)),
  );
  fc.assert(
    fc.property(address, (one) => {
      assert.equal(one.length, 2 * addressBytes);
      assert.ok(isAddress(one));
      assert.equal(parseAddress(one), one);
      assert.equal(addressFromBytes(addressToBytes(one)), one);
      assert.equal(addressFromBytes(Buffer.concat([new Uint8Array(5), addressToBytes(one)]), 5), one);
    }),
  );
  assert.equal(kindOf(immutableAddress(new Uint8Array(3))), 'immutable');
  assert.equal(kindOf(mutableAddress()), 'mutable');
  assert.equal(kindOf(namedAddress('a', 'b')), 'named');
});

test('the same bytes have the same address on every host and in every release', () => {
  // Written down: a change here is a change of the format.
  assert.equal(immutableAddress(Buffer.from('infinit')), '10fa42d925010bd9aaaf349cbf6cac7ecbe2643670829a63e81f95448a6a901f');
  assert.equal(namedAddress('volume', 'root'), '131be470d5c71ed65eb722323ce614d52ee00a00ce029ac9e4b1eb25050887bd');
  assert.equal(mutableAddress(new Uint8Array(31).fill(7)), `12${'07'.repeat(31)}`);
});

test('blocks of before, whose addresses are of SHA-256, are still told from damaged ones', () => {
  const old = parseAddress('1194f2ae48c2d427cb166bdfd5274786213ec1a6b9685d3d19a54544147aa825');
  assert.equal(kindOf(old), 'immutable');
  assert.ok(hashesTo(old, Buffer.from('infinit')));
  assert.ok(!hashesTo(old, Buffer.from('infinis')));
  assert.ok(hashesTo(immutableAddress(Buffer.from('infinit')), Buffer.from('infinit')));
  assert.ok(!hashesTo(immutableAddress(Buffer.from('infinit')), Buffer.from('infinis')));
});

test('different bytes, owners and names have different addresses, however they are cut', () => {
  fc.assert(fc.property(bytes, bytes, (a, b) => Buffer.from(a).equals(b) || immutableAddress(a) !== immutableAddress(b)));
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (owner, name, owner2, name2) => {
      fc.pre(owner !== owner2 || name !== name2);
      return namedAddress(owner, name) !== namedAddress(owner2, name2);
    }),
  );
  assert.notEqual(namedAddress('ab', 'c'), namedAddress('a', 'bc'));
  assert.notEqual(namedAddress('é', 'x'), namedAddress('e\u0301', 'x'));
});

test('what is not an address is refused by name', () => {
  for (const text of [
    '',
    '10',
    `1/${'0'.repeat(62)}`,
    `14${'0'.repeat(62)}`,
    `21${'0'.repeat(62)}`,
    `11${'A'.repeat(62)}`,
    `11${'0'.repeat(63)}`,
    ` 11${'0'.repeat(62)}`,
  ]) {
    assert.equal(isAddress(text), false);
    assert.throws(() => parseAddress(text), { code: 'bad-argument' });
  }
  for (const other of [undefined, null, 5, {}, [`11${'0'.repeat(62)}`]]) assert.equal(isAddress(other), false);
  assert.throws(() => addressFromBytes(new Uint8Array(31)), { code: 'bad-argument' });
  assert.throws(() => addressFromBytes(new Uint8Array(40), 20), { code: 'bad-argument' });
});
