import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstFrom, type StoredPart, StoredParts, segmentsIn } from '../../../src/filesystem/shared/stored-parts.ts';

function part(start: number, end: number, segments: number): StoredPart {
  const length = (end - start) / segments;
  return {
    start,
    end,
    segments: Array.from({ length: segments }, (_, index) => ({ offset: start + index * length, length, address: undefined, blockOffset: 0 })),
  };
}

test('several parts of a file are known at once, and what covers a range is found whatever else is', () => {
  const parts = new StoredParts();
  const [first, second] = [part(0, 100, 2), part(100, 200, 2)];
  parts.add(1, first);
  parts.add(1, second);
  assert.equal(parts.find(1, 10, 20), first);
  assert.equal(parts.find(1, 100, 200), second);
  assert.equal(parts.find(1, 90, 110), undefined, 'none has all of it');
  assert.equal(parts.find(2, 10, 20), undefined);
});

test('what was asked anew takes the place of what it overlaps, and what is doubted is forgotten, and nothing else of the file', () => {
  const parts = new StoredParts();
  parts.add(1, part(0, 100, 2));
  parts.add(1, part(100, 200, 2));
  const wider = part(50, 100, 1);
  parts.add(1, wider);
  assert.equal(parts.find(1, 0, 10), undefined);
  assert.equal(parts.find(1, 60, 70), wider);
  parts.forgetIn(1, 150, 151);
  assert.equal(parts.find(1, 110, 120), undefined);
  assert.equal(parts.find(1, 60, 70), wider);
  parts.forget(1);
  assert.equal(parts.find(1, 60, 70), undefined);
});

test('segments are bounded over all files: what was used longest ago goes', () => {
  const parts = new StoredParts(30);
  parts.add(1, part(0, 100, 10));
  parts.add(2, part(0, 100, 10));
  parts.find(1, 0, 1);
  parts.add(3, part(0, 100, 10));
  assert.equal(parts.find(2, 0, 1), undefined);
  assert.notEqual(parts.find(1, 0, 1), undefined);
  assert.notEqual(parts.find(3, 0, 1), undefined);
  parts.add(4, part(0, 100, 100));
  assert.equal(parts.find(4, 0, 1), undefined, 'one that is larger than all is not kept');
  parts.clear();
  parts.add(1, part(0, 100, 20));
  assert.notEqual(parts.find(1, 0, 1), undefined, 'what was cleared counts no more');
});

test('the segments of a range are found among those in order', () => {
  const { segments } = part(0, 100, 10);
  assert.deepEqual(
    segmentsIn(segments, 15, 31).map(({ offset }) => offset),
    [10, 20, 30],
  );
  assert.deepEqual(
    segmentsIn(segments, 20, 30).map(({ offset }) => offset),
    [20],
  );
  assert.deepEqual(segmentsIn(segments, 100, 110), []);
  assert.equal(firstFrom(segments, 0), 0);
});
