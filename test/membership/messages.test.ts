import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decodeReport, encodeReport } from '../../src/membership/messages.ts';

const report = { serial: 3, newest: 2, standing: 'member', resolved: 0, floor: 0, silent: ['a', 'b'] } as const;

test('a report says what it said, and names no more silent hosts than there can be', () => {
  assert.deepEqual(decodeReport(encodeReport(report, undefined), undefined).report, report);
  const endless = { ...report, silent: ['x'.repeat(10_000), ...Array.from({ length: 100_000 }, (_, index) => String(index))] };
  const { silent } = decodeReport(encodeReport(endless, undefined), undefined).report;
  assert.ok(silent.length <= 4096, `${silent.length} hosts`);
  assert.ok(silent.every(({ length }) => length <= 128));
  for (const bad of [null, 7, {}, { ...report, standing: 'king' }, { ...report, serial: -1 }])
    assert.throws(() => decodeReport(Buffer.from(JSON.stringify(bad)), undefined), { code: 'bad-argument' });
});
