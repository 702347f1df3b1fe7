import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Passport } from '../../src/overlay/identity/index.ts';
import { TokenUses } from '../../src/overlay/membership/token-uses.ts';

let now = 1000;
const clock = { monotonicMs: () => now, wallMs: () => now };

/** Only what a use is known by; that the passport is genuine was seen before. */
function passport(
  id: string,
  peer: string,
  { expiresMs = 2000, uses = 10, issuedMs = 500, grantee = undefined as string | undefined } = {},
): Passport {
  return { text: `${id} ${peer}`, peer, issuedMs, invitation: { id, expiresMs, uses, grantee } } as unknown as Passport;
}

test('a use counts once, and no more of them than make the token used up', () => {
  const uses = new TokenUses(clock, 'self');
  assert.equal(uses.note(passport('a', 'h1', { uses: 2 })), true);
  assert.equal(uses.note(passport('a', 'h1', { uses: 2 })), false);
  assert.equal(uses.note(passport('a', 'h2', { uses: 2 })), true);
  assert.equal(uses.note(passport('a', 'h3', { uses: 2 })), false);
  assert.equal(uses.note(passport('grant', 'h1', { uses: 1, grantee: 'h1' })), false);
  uses.note(passport('b', 'h1', { expiresMs: 3000 }));
  assert.deepEqual(
    [uses.usersOf('a'), uses.tokensOf('h1')],
    [
      ['h1', 'h2'],
      ['a', 'b'],
    ],
  );
});

test('a use that is taken back is none', () => {
  const uses = new TokenUses(clock, 'self');
  uses.note(passport('a', 'h1', { uses: 1 }));
  uses.takeBack('a', 'h1');
  uses.takeBack('a', 'h1');
  assert.deepEqual([uses.usersOf('a'), uses.passports()], [[], []]);
  assert.equal(uses.note(passport('a', 'h2', { uses: 1 })), true);
});

test('a clock that is far ahead has no token forgotten that may be good on other hosts', () => {
  const uses = new TokenUses(clock, 'self');
  uses.note(passport('a', 'h1'));
  now = 1e15;
  uses.note(passport('b', 'h1'));
  assert.deepEqual(uses.tokensOf('h1'), ['a', 'b']);
  now = 1000;
});

test('nor however many uses there are: only what had ended when another host joined makes room', () => {
  const uses = new TokenUses(clock, 'self');
  now = 1e15;
  for (let index = 0; index < 600; index++) uses.note(passport(`t${index}`, 'h', { expiresMs: 2000 + index }));
  // This host's own passport is of the wrong clock as well, and no token says of itself that it has ended.
  uses.note(passport('own', 'self', { expiresMs: 1e16, issuedMs: 1e15 }));
  uses.note(passport('late', 'h', { expiresMs: 1500, issuedMs: 1e15 }));
  assert.equal(uses.tokensOf('h').length, 601);
  now = 1000;
});

test('of tokens that have ended only so many uses are kept, of those that ended last', () => {
  const uses = new TokenUses(clock, 'self');
  uses.note(passport('good', 'h', { expiresMs: 1e9, issuedMs: 90_000 }));
  now = 100_000;
  for (let index = 0; index < 600; index++) uses.note(passport(`t${index}`, 'h', { expiresMs: 2000 + index }));
  assert.deepEqual(uses.tokensOf('h'), ['good', ...Array.from({ length: 256 }, (_, index) => `t${344 + index}`)]);
  assert.equal(uses.note(passport('older', 'h', { expiresMs: 1999 })), false);
  now = 1000;
});

test('a token with ever more users keeps the uses of no other one from being known', () => {
  const uses = new TokenUses(clock, 'self');
  uses.note(passport('rare', 'h', { uses: 1 }));
  for (let index = 0; index < 5000; index++) uses.note(passport('many', `h${index}`, { uses: 1_000_000 }));
  assert.ok(uses.passports().length <= 4096);
  assert.deepEqual(uses.usersOf('rare'), ['h']);
  assert.ok(uses.usersOf('many').includes('h4999'));
});
