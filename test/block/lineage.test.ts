import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { beginLineage, bodyWithLineage, continueLineage, findWrite, mutableAddress, Sealer, valueIn } from '../../src/block/index.ts';

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
        current = { version: index + 1, payload: current === undefined ? beginLineage(sealed, 1) : continueLineage(sealed, current) };
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

test('that a write was never made is said only where the block was there when it was tried, and nobody is forgotten', () => {
  let current = { version: 5, payload: beginLineage(write(1, 1, 'a'), 5) };
  const lost = write(77, 2, 'lost');
  assert.equal(findWrite(lost, current), undefined);
  assert.equal(findWrite(lost, current, 4), undefined, 'the block was removed and made again since');
  assert.equal(findWrite(lost, current, 5), 'never');
  current = { version: 6, payload: continueLineage(write(77, 1, 'before'), current) };
  current = { version: 7, payload: continueLineage(write(2, 1, 'b'), current) };
  assert.equal(findWrite(lost, current), 'never', 'an earlier write of its session is there');
  for (let session = 3; session < 13; session++) current = { version: session + 5, payload: continueLineage(write(session, 1, 'c'), current) };
  assert.equal(findWrite(lost, current, 5), undefined);
});

test('a block with one writer carries no entries', () => {
  const first = beginLineage(write(1, 1, 'a'), 1);
  const second = continueLineage(write(1, 2, 'b'), { version: 1, payload: first });
  assert.equal(second.length, first.length);
});
