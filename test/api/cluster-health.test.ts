import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type BlockCounts, clusterHealth, type RepairProgress } from '../../src/api/index.ts';
import { type HostSketch, sketch } from './cluster-statuses.ts';

const fine: HostSketch = {};
const silent: HostSketch = { silent: true };
const full: HostSketch = { readOnly: true };

const none: BlockCounts = {
  immutable: 5,
  mutable: 5,
  named: 0,
  tombstones: 0,
  underReplicated: 0,
  underQuorum: 0,
  surplus: 0,
  damaged: 0,
  givenUp: 0,
};
function found(counts: Partial<BlockCounts>): { repair: RepairProgress } {
  return {
    repair: {
      phase: 'idle',
      done: 0,
      total: 0,
      bytesPerSecond: 0,
      lastCheck: { ageSeconds: 5, counts: { ...none, ...counts }, open: false },
      repaired: 0,
      scrub: { running: false, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 },
    },
  };
}

function verdict(replicas: number, hosts: readonly HostSketch[]): string {
  const { state, reasons } = clusterHealth(sketch(replicas, hosts));
  return [state, ...reasons].join('; ');
}

test('a cluster whose hosts all answer is HEALTHY', () => {
  assert.equal(verdict(3, [fine, fine, fine]), 'HEALTHY');
  assert.equal(verdict(1, [fine]), 'HEALTHY');
  assert.equal(verdict(3, [fine, fine, fine, { capacity: 0 }]), 'HEALTHY');
});

test('fewer hosts than copies are DEGRADED', () => {
  assert.equal(verdict(3, [fine]), 'DEGRADED; 3 copies are wanted and 1 host keeps blocks');
  assert.equal(verdict(3, [fine, fine, { capacity: 0 }]), 'DEGRADED; 3 copies are wanted and 2 hosts keep blocks');
  assert.equal(verdict(3, [fine, fine, { draining: true }]), 'DEGRADED; 3 copies are wanted and 2 hosts keep blocks');
  assert.equal(verdict(3, [fine, fine, fine, { draining: true }]), 'HEALTHY');
});

test('one silent host of three is named, and DEGRADED', () => {
  assert.equal(verdict(3, [fine, silent, fine]), 'DEGRADED; h1 does not answer: no connection; 3 copies are wanted and 2 hosts keep blocks');
  assert.equal(verdict(3, [fine, fine, fine, fine, silent]), 'DEGRADED; h4 does not answer: no connection');
  assert.match(verdict(3, [fine, fine, fine, { silent: true, capacity: 0 }]), /^DEGRADED; h3 does not answer/);
});

test('a host that was counted out is missed no longer', () => {
  assert.equal(verdict(3, [fine, fine, fine, { silent: true, countedOut: true }]), 'HEALTHY');
  assert.equal(verdict(3, [fine, fine, fine, { silent: true, countedOut: true }, silent]), 'DEGRADED; h4 does not answer: no connection');
});

test('what hinders the roster is said, with the host that says it', () => {
  assert.equal(verdict(3, [fine, { troubles: ['this host is cut off'] }, fine]), 'DEGRADED; h1: this host is cut off');
  const same = { troubles: ['3 hosts were lost together'] };
  assert.equal(verdict(3, [same, same, { troubles: ['another'] }]), 'DEGRADED; h0, h1: 3 hosts were lost together; h2: another');
});

test('without a majority it is UNAVAILABLE, and says for which blocks', () => {
  assert.match(verdict(3, [fine, silent, silent]), /^UNAVAILABLE;.*2 of 3 storing hosts do not answer: no block has a majority/);
  assert.match(verdict(3, [fine, fine, fine, silent, silent]), /^UNAVAILABLE;.*blocks with more than 1 of their 3 copies there/);
  assert.match(verdict(3, [fine, silent]), /^UNAVAILABLE; 1 of 2 storing hosts does not answer.*; h1 does not answer/);
  // What the word is for comes first.
  assert.match(verdict(3, [found({ underQuorum: 2 }), fine]), /^UNAVAILABLE; blocks without a majority .*; 3 copies are wanted/);
  assert.match(verdict(5, [fine, fine, fine, silent, silent]), /^DEGRADED/);
});

test('full disks degrade, and are READ-ONLY when too few others take writes', () => {
  assert.equal(verdict(3, [fine, full, fine]), 'DEGRADED; h1 takes no writes: the disk is full');
  assert.match(verdict(3, [full, full, fine]), /^READ-ONLY; h0 takes no writes.*h1 takes no writes/);
  assert.equal(verdict(3, [fine, full, fine, { readOnly: true, capacity: 0 }]).split(';')[0], 'DEGRADED');
  assert.equal(verdict(1, [full]), 'READ-ONLY; this host takes no writes: the disk is full');
});

test('what repair counted is said', () => {
  assert.equal(verdict(3, [found({ underReplicated: 4 }), fine, found({ underReplicated: 3 })]), 'DEGRADED; blocks with fewer copies than wanted: 7');
  assert.match(
    verdict(3, [fine, found({ underQuorum: 1 }), fine]),
    /^UNAVAILABLE; blocks without a majority of copies in reach: 1 .infinit salvage lists them/,
  );
  assert.match(verdict(3, [fine, { damaged: 2 }, fine]), /^DEGRADED; 2 damaged records were found on the disk of h1/);
});

test('a copied identity and a wrong clock degrade; an address that does not answer is only a note', () => {
  const trouble = (kind: string): string => clusterHealth(sketch(3, [fine, fine, fine], [{ kind, about: 'x', message: 'm' }])).state;
  assert.deepEqual(['duplicate-identity', 'older-state', 'clock', 'wrong-version', 'unreachable', 'denied'].map(trouble), [
    'DEGRADED',
    'DEGRADED',
    'DEGRADED',
    'DEGRADED',
    'HEALTHY',
    'HEALTHY',
  ]);
});

test('on the only host of a cluster an address that does not answer degrades, its own does not', () => {
  const verdictOf = (kind: string): string => clusterHealth(sketch(1, [fine], [{ kind, about: 'x', message: 'm' }])).state;
  assert.deepEqual(['unreachable', 'denied', 'self'].map(verdictOf), ['DEGRADED', 'DEGRADED', 'HEALTHY']);
});
