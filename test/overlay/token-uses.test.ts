import assert from 'node:assert/strict';
import { test } from 'node:test';

import { grantMs, type Passport } from '../../src/overlay/identity/index.ts';
import { TokenUses } from '../../src/overlay/membership/token-uses.ts';

let now = 1000;
const clock = { monotonicMs: () => now, wallMs: () => now };

/** Only what a use is known by; that the passport is genuine was seen before. */
function passport(id: string, peer: string, { expiresMs = 2000, uses = 10 } = {}): Passport {
  return { text: `${id} ${peer}`, peer, issuedMs: 500, invitation: { id, expiresMs, uses } } as unknown as Passport;
}

test('a use counts once, until its token has expired, and no more of them than make the token used up', () => {
  const uses = new TokenUses(clock);
  assert.equal(uses.note(passport('a', 'h1', { uses: 2 })), true);
  assert.equal(uses.note(passport('a', 'h1', { uses: 2 })), false);
  assert.equal(uses.note(passport('a', 'h2', { uses: 2 })), true);
  assert.equal(uses.note(passport('a', 'h3', { uses: 2 })), false);
  assert.equal(uses.note(passport('old', 'h1', { expiresMs: now })), false);
  assert.equal(uses.note(passport('grant', 'h1', { expiresMs: 500 + grantMs, uses: 1 })), false);
  uses.note(passport('b', 'h1', { expiresMs: 3000 }));
  assert.deepEqual(
    [uses.usersOf('a'), uses.tokensOf('h1')],
    [
      ['h1', 'h2'],
      ['a', 'b'],
    ],
  );
  now = 2000;
  assert.deepEqual(uses.tokensOf('h1'), ['b']);
  now = 1000;
});

test('a token with ever more users keeps the uses of no other one from being known', () => {
  const uses = new TokenUses(clock);
  uses.note(passport('rare', 'h', { uses: 1 }));
  for (let index = 0; index < 5000; index++) uses.note(passport('many', `h${index}`, { uses: 1_000_000 }));
  assert.ok(uses.passports().length <= 4096);
  assert.deepEqual(uses.usersOf('rare'), ['h']);
  assert.ok(uses.usersOf('many').includes('h4999'));
});
