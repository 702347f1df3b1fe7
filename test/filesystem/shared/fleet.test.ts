import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Fleet, type Mutant, staleIn } from './fleet.ts';

const seeds = 25;

test('no host ever sees what is old, however recalls are lost, guests stand still and the volume is opened anew', async () => {
  for (let seed = 1; seed <= seeds; seed++) assert.equal(staleIn(await new Fleet(seed).run()), undefined, `seed ${seed}`);
});

test('a guest that does not hear of a new opening of the volume sees nothing old either', async () => {
  for (let seed = 1; seed <= 3; seed++) assert.equal(staleIn(await new Fleet(seed).takeOver()), undefined, `seed ${seed}`);
  assert.notEqual(staleIn(await new Fleet(1, 'heedless').takeOver()), undefined, 'a heedless host is found out');
});

for (const mutant of ['hasty', 'forgetful', 'timeless', 'undoing', 'unflushed'] satisfies Mutant[]) {
  test(`a ${mutant} one is found out`, async () => {
    for (let seed = 1; seed <= 2 * seeds; seed++) if (staleIn(await new Fleet(seed, mutant).run()) !== undefined) return;
    assert.fail('it never was');
  });
}
