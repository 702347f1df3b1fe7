import assert from 'node:assert/strict';
import { test } from 'node:test';

import { clusterHealth, healthOf, type HostsSeen } from '../../src/api/index.ts';
import { sketch } from './cluster-statuses.ts';

const { disk } = sketch(3, [{}]).hosts[0]!;

function verdict(seen: HostsSeen): string {
  const { state, reasons } = healthOf(disk, seen);
  return [state, ...reasons].join('; ');
}

test('a host without a majority is UNAVAILABLE, in the words that its cluster has for it', () => {
  const own = verdict({ wanted: 3, storing: 3, up: 1, lost: 2 });
  assert.equal(own, 'UNAVAILABLE; 2 of 3 storing hosts do not answer: no block has a majority of copies in reach');
  const { reasons } = clusterHealth(sketch(3, [{}, { silent: true }, { silent: true }]));
  assert.ok(reasons.includes(own.slice('UNAVAILABLE; '.length)));
});

test('a host with a majority is DEGRADED while copies are missing', () => {
  assert.equal(verdict({ wanted: 3, storing: 3, up: 3, lost: 0 }), 'HEALTHY');
  assert.match(verdict({ wanted: 3, storing: 3, up: 2, lost: 1 }), /^DEGRADED; 3 copies of each block are wanted and 2 hosts are up/);
  assert.match(verdict({ wanted: 3, storing: 1, up: 1, lost: 0 }), /^DEGRADED; .*there is 1 host/);
  // A moment's silence is no loss.
  assert.match(verdict({ wanted: 3, storing: 3, up: 1, lost: 0 }), /^DEGRADED/);
});
