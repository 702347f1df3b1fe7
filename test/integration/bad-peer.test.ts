/** A member of the cluster, admitted and of the same version, that sends nonsense: every kind of message with bodies that are no such message. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { serialize } from 'node:v8';

import { codeOf } from '../../src/base/index.ts';
import { sharedMethods } from '../../src/filesystem/shared/calls.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { firstStoreKind } from '../../src/overlay/index.ts';
import { Cluster } from '../overlay/fixture.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

/** All kinds of store, repair and node, and as many that nobody knows. */
const kinds = 64;
const bodiesOfKind = 40;
const oddCalls = 1500;

function nonsense(): Buffer {
  const length = randomInt(4) === 0 ? randomInt(100_000) : randomInt(200);
  switch (randomInt(4)) {
    case 0:
      return Buffer.alloc(length);
    case 1:
      return Buffer.alloc(length, 0xff);
    case 2:
      return Buffer.from(JSON.stringify([[randomBytes(length).toString('hex'), -1, null]]));
    default:
      return randomBytes(length);
  }
}

/** What an argument of an operation on a volume may not be, and some that it may. */
const odd: readonly unknown[] = [
  NaN,
  -1,
  1.5,
  Infinity,
  2 ** 60,
  0,
  1,
  '',
  'x',
  'x'.repeat(5000),
  '../x',
  {},
  [],
  null,
  undefined,
  true,
  new Uint8Array(3),
];
const oddObjects: readonly unknown[] = [
  { size: NaN },
  { size: -1 },
  { modified: { seconds: 'x', nanoseconds: 1e12 } },
  { kind: 'flock', type: 'write', owner: 'x', pid: 0, start: NaN, end: -1 },
  { uid: -1, gid: {}, pid: 'x' },
];

/** An operation on the volume that no kernel would ask for. */
function oddCall(volumeId: string): Buffer {
  const methods = Object.keys(sharedMethods);
  const values = [...odd, ...oddObjects];
  const args = Array.from({ length: randomInt(7) }, () => values[randomInt(values.length)]);
  return Buffer.concat([Buffer.from(volumeId, 'hex'), serialize([methods[randomInt(methods.length)], ...args])]);
}

test('messages of an admitted host that make no sense are answered with errors, and the daemon serves on', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first] = cluster.hosts;
  const place = await first!.mount('data');
  await sh(`echo before > ${place}/f; sync ${place}/f`);
  const { text } = await first!.client.createToken();
  await using strangers = await Cluster.onLoopback();
  const tokenFile = path.join(strangers.directory, 'token');
  await writeFile(tokenFile, text, { mode: 0o600 });
  const peer = await strangers.open('stranger', { tokenFile, join: [cluster.address] });
  await peer.whenJoined(AbortSignal.timeout(30_000));
  const { transport } = peer;
  for (const target of transport.connected()) {
    for (let kind: number = firstStoreKind; kind < firstStoreKind + kinds; kind++) {
      const answers = Array.from({ length: bodiesOfKind }, async () => {
        transport.notify(target, kind, nonsense());
        // An answer may be none of ours, but never a bug of the host that was asked.
        return transport.request(target, kind, nonsense(), { deadlineMs: 20_000 }).then(() => 'answered', codeOf);
      });
      for (const answer of await Promise.all(answers)) assert.notEqual(answer, 'bug', `kind ${kind - firstStoreKind} of the store and above`);
    }
  }
  const { id } = await first!.client.inspectVolume('data');
  for (const target of transport.connected()) {
    const calls = Array.from({ length: oddCalls }, () => transport.request(target, nodeKinds.volumeCall, oddCall(id)).then(() => 'answered', codeOf));
    assert.ok(!(await Promise.all(calls)).includes('bug'));
  }
  assert.equal(await sh(`cat ${place}/f; echo after > ${place}/f; sync ${place}/f; cat ${place}/f`), 'before\nafter\n');
  for (const host of cluster.hosts) assert.doesNotMatch(host.log, /a message handler failed/);
});
