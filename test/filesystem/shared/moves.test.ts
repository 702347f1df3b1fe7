import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Moves } from './moves.ts';
import type { Mutant } from './program.ts';

/** So many runs; a long search sets more. */
const seeds = Number(process.env['SEEDS'] ?? 20);
const first = Number(process.env['SEED'] ?? 1);

test('what a program did to a file is there, however hosts are killed and another comes to serve the volume', async () => {
  let [moves, puts, daemons, swaps] = [0, 0, 0, 0];
  for (let seed = first; seed < first + seeds; seed++) {
    const run = new Moves(seed);
    const problem = await run.run();
    assert.equal(problem, undefined, `SEED=${seed} SEEDS=1: ${problem}\n${run.deeds.join('\n')}`);
    moves += run.moves;
    puts += run.puts;
    daemons += run.daemons;
    swaps += run.swaps;
  }
  assert.ok(moves > seeds, 'the volume moved about');
  assert.ok(daemons >= seeds / 10, `daemons of guests were killed: ${daemons}`);
  assert.ok(seeds < 20 || swaps > 0, 'some of them in the middle of an exchange');
  assert.ok(puts > seeds, `guests wrote in their own memory: ${puts}`);
});

for (const mutant of ['hasty', 'short', 'forgetful', 'unaware'] satisfies Mutant[]) {
  test(`a ${mutant} one is found out`, async () => {
    for (let seed = 1; seed <= 5 * seeds; seed++) if ((await new Moves(seed, mutant).run()) !== undefined) return;
    assert.fail('it never was');
  });
}
