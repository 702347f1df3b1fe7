import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Loans } from '../../../src/filesystem/shared/loans.ts';

const most = 4096;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('where as many files are lent as may be, the next one has room once one of them was not written for a minute', async () => {
  let nowMs = 1000;
  const asked: number[] = [];
  const recall = (_peer: string, inode: number): Promise<void> => {
    asked.push(inode);
    return Promise.resolve();
  };
  const loans = new Loans({ now: () => nowMs, sleep: turn, patienceMs: 2000, recall, untilMs: () => nowMs + 2000 });
  for (let inode = 1; inode <= most; inode++) assert.ok(loans.lend('guest', inode));
  nowMs += 50_000;
  loans.hear('guest', 1)();
  assert.equal(loans.lend('other', most + 1), undefined);
  await turn();
  assert.deepEqual(asked, [], 'those that were lent just now are in use, or may be');
  nowMs += 10_000;
  for (let time = 0; time < 2; time++) assert.equal(loans.lend('other', most + 1), undefined);
  await turn();
  assert.deepEqual(asked, [2], 'one at a time, and none that was written since');
  assert.ok(loans.lend('other', most + 1));
});
