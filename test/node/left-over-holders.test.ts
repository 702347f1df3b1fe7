import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { LeftOverHolders } from '../../src/node/mounts/left-over-holders.ts';

interface Scene {
  readonly table: Map<string, Set<string>>;
  readonly containers: Map<string, readonly string[] | undefined>;
  /** Volumes about which the engine cannot be asked at all. */
  readonly failing: Set<string>;
  readonly leftOver: LeftOverHolders;
}

function scene(holders: Readonly<Record<string, readonly string[]>>): Scene {
  const table = new Map(Object.entries(holders).map(([volume, ids]) => [volume, new Set(ids)]));
  const containers = new Map<string, readonly string[] | undefined>();
  const failing = new Set<string>();
  const leftOver = new LeftOverHolders([...table.keys()], {
    holders: (volume) => [...(table.get(volume) ?? [])],
    containersOf: (volume) =>
      failing.has(volume) ? Promise.reject(new Error('dockerode cannot be loaded')) : Promise.resolve(containers.get(volume)),
    drop: (volume, ids) => {
      for (const id of ids) table.get(volume)!.delete(id);
      return Promise.resolve();
    },
    logger: silentLogger,
  });
  return { table, containers, failing, leftOver };
}

const look = async ({ leftOver }: Scene, times: number): Promise<void> => {
  for (let time = 0; time < times; time++) await leftOver.look();
};

test('what the engine has no container for is given back after some looks; what people mounted stays', async () => {
  const s = scene({ gone: ['docker:a', 'docker:b', 'cli:/mnt/x'], used: ['docker:c'] });
  using _leftOver = s.leftOver;
  s.containers.set('gone', []).set('used', ['web']);
  await look(s, 2);
  assert.deepEqual([...s.table.get('gone')!], ['docker:a', 'docker:b', 'cli:/mnt/x']);
  await look(s, 8);
  assert.deepEqual([...s.table.get('gone')!], ['cli:/mnt/x']);
  assert.deepEqual([...s.table.get('used')!], ['docker:c']);
});

test('an engine that does not say, or names a container in between, gives nothing back', async () => {
  const s = scene({ data: ['docker:a'] });
  using _leftOver = s.leftOver;
  await look(s, 5);
  s.containers.set('data', []);
  await look(s, 2);
  s.containers.set('data', ['web']);
  await look(s, 1);
  s.containers.set('data', []);
  await look(s, 2);
  assert.deepEqual([...s.table.get('data')!], ['docker:a']);
  await look(s, 1);
  assert.deepEqual([...s.table.get('data')!], []);
});

test('what the engine mounts while this daemon runs stays: it does not list yet what it is making', async () => {
  const s = scene({ data: ['docker:a', 'docker:b'], later: [] });
  using _leftOver = s.leftOver;
  s.containers.set('data', []).set('later', []);
  s.table.get('later')!.add('docker:new');
  s.table.get('data')!.add('docker:new');
  s.leftOver.isGiven('data', 'docker:b');
  await look(s, 5);
  assert.deepEqual([...s.table.get('data')!], ['docker:b', 'docker:new']);
  assert.deepEqual([...s.table.get('later')!], ['docker:new']);
});

test('an engine that cannot be asked about one volume ends nothing, and is asked about the others', async () => {
  const s = scene({ first: ['docker:a'], second: ['docker:b'] });
  using _leftOver = s.leftOver;
  s.containers.set('first', []).set('second', []);
  s.failing.add('first');
  await look(s, 3);
  assert.deepEqual([...s.table.get('first')!], ['docker:a']);
  assert.deepEqual([...s.table.get('second')!], []);
  s.failing.delete('first');
  await look(s, 3);
  assert.deepEqual([...s.table.get('first')!], []);
});
