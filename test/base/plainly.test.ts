import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';

import { InfinitError, plainly } from '../../src/base/index.ts';

async function failureOf(run: () => unknown): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

test('what the system refuses is said in words, with its code for those who look it up', async () => {
  assert.equal(plainly(await failureOf(() => readFileSync('/no/such/file'))), 'there is no such file or directory (ENOENT)');
  assert.equal(plainly(await failureOf(() => readFileSync('/'))), 'it is a directory (EISDIR)');
  assert.match(plainly(await failureOf(() => once(connect(1, '127.0.0.1'), 'connect'))), /^nobody listens there: .*\(ECONNREFUSED\)$/);
  assert.match(
    plainly(await failureOf(() => lookup('no.such.host.invalid'))),
    /^(nobody knows a host of that name|the name server does not answer) \(E/,
  );
});

test('a code in the words of a library is found; what is our own stays as it is', () => {
  assert.match(plainly(new Error('All addresses failed: connect EHOSTUNREACH 10.0.0.1:7470')), /^there is no route to it/);
  assert.equal(plainly(new InfinitError('denied', 'no right to invite')), 'no right to invite');
  assert.equal(plainly(new Error('EVERYTHING is wrong')), 'EVERYTHING is wrong');
  assert.equal(plainly('text'), 'text');
  assert.equal(plainly(undefined), 'undefined');
});
