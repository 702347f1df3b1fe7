import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { Histogram, histogramBounds } from '../../src/base/index.ts';

test('every time falls into the first bucket whose bound it does not pass', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 100_000, noNaN: true }), (milliseconds) => {
      const histogram = new Histogram();
      histogram.observe(milliseconds);
      const bucket = histogram.counts.indexOf(1);
      const seconds = milliseconds / 1000;
      const tolerance = 1 + 1e-9;
      assert.ok(bucket === histogramBounds.length || seconds <= histogramBounds[bucket]! * tolerance);
      assert.ok(bucket === 0 || seconds * tolerance >= histogramBounds[bucket - 1]!);
      assert.equal(histogram.sumSeconds, seconds);
    }),
  );
});

test('a bound itself belongs to its bucket', () => {
  for (const [index, bound] of histogramBounds.entries()) {
    const histogram = new Histogram();
    histogram.observe(bound * 1000 * (1 - 1e-12));
    assert.equal(histogram.counts[index], 1, `bound ${bound}`);
  }
});
