import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { bodyWithLineage, continueLineage, findWrite, mutableAddress, Sealer, valueIn } from '../../src/block/index.ts';

const sealer = new Sealer();
const address = mutableAddress(new Uint8Array(31));
const volume = Buffer.from('infinit programs');

function write(session: number, sequence: number, value: string): Uint8Array {
  return sealer.sealPayload(address, { volume, inode: 0, epoch: 0, session, sequence }, bodyWithLineage(Buffer.from(value)));
}

test('after any writes of any sessions the value is the last one, and recent writes are found at their versions', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 60 }), (sessions) => {
      let current: { version: number; payload: Uint8Array } | undefined;
      const lastOf = new Map<number, { sealed: Uint8Array; version: number }>();
      for (const [index, session] of sessions.entries()) {
        const sealed = write(session, index + 1, `value ${index}`);
        if (current !== undefined) assert.equal(typeof findWrite(sealed, current) === 'number', false);
        current = { version: index + 1, payload: current === undefined ? sealed : continueLineage(sealed, current) };
        lastOf.set(session, { sealed, version: index + 1 });
        assert.equal(Buffer.from(valueIn(sealer.openPayload(address, current.payload).body)).toString(), `value ${index}`);
        for (const { sealed: earlier, version } of lastOf.values()) {
          const found = findWrite(earlier, current);
          // Of more than nine sessions the oldest are forgotten, and said to be.
          assert.ok(found === version || (found === undefined && lastOf.size > 9), `${found} for version ${version}`);
        }
      }
    }),
  );
});

test('a write that was never made is told from one that is long forgotten', () => {
  let current = { version: 1, payload: write(1, 1, 'a') };
  const never = write(77, 1, 'never');
  assert.equal(findWrite(never, current), 'never');
  for (let session = 2; session < 12; session++) current = { version: session, payload: continueLineage(write(session, 1, 'b'), current) };
  assert.equal(findWrite(never, current), undefined);
});

test('a block with one writer carries no entries', () => {
  const first = write(1, 1, 'a');
  const second = continueLineage(write(1, 2, 'b'), { version: 1, payload: first });
  assert.equal(second.length, first.length);
});
