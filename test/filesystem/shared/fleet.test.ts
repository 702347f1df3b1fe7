import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Fleet, type Mutant } from './fleet.ts';
import { staleIn } from './stale.ts';

/** So many runs; a long search sets more. */
const seeds = Number(process.env['SEEDS'] ?? 25);
const first = Number(process.env['SEED'] ?? 1);

test('no host ever sees what is old, however recalls are lost, guests stand still and the volume is opened anew', async () => {
  for (let seed = first; seed < first + seeds; seed++) assert.equal(staleIn(await new Fleet(seed).run()), undefined, `seed ${seed}`);
});

test('a guest that does not hear of a new opening of the volume sees nothing old either', async () => {
  for (let seed = 1; seed <= 3; seed++) assert.equal(staleIn(await new Fleet(seed).takeOver()), undefined, `seed ${seed}`);
  assert.notEqual(staleIn(await new Fleet(1, 'heedless').takeOver()), undefined, 'a heedless host is found out');
});

for (const mutant of ['hasty', 'forgetful', 'timeless', 'undoing', 'unflushed', 'trusting'] satisfies Mutant[]) {
  test(`a ${mutant} one is found out`, async () => {
    for (let seed = 1; seed <= 2 * seeds; seed++) if (staleIn(await new Fleet(seed, mutant).run()) !== undefined) return;
    assert.fail('it never was');
  });
}
