import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseVolumeOptions } from '../../src/api/index.ts';
import { silentLogger, systemClock } from '../../src/base/index.ts';
import { namedAddress } from '../../src/block/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { claimSession } from '../../src/node/volumes/volume-session.ts';
import { inodesIn, look, open, put, root, volumeId } from '../filesystem/harness.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { checkNow, type VolumeCheckContext } from '../../src/node/volumes/volume-check.ts';

/** A volume `data` that other hosts have mounted, and this one, `h0`, where `here`. */
function contextOf(here: boolean, hosts: readonly string[], holder: () => Promise<string | undefined>): VolumeCheckContext {
  return {
    catalogue: { current: (name: string) => Promise.resolve({ name, id: '00' }) },
    volumes: { servedById: () => (here ? { check: () => Promise.resolve() } : undefined) },
    checkMember: () => {},
    usedElsewhere: () => Promise.resolve(hosts),
    hostName: 'h0',
    leaseHolder: holder,
  } as unknown as VolumeCheckContext;
}

test('who checks a volume that another host has open hears which one, and who has it mounted', async () => {
  const said = async (context: VolumeCheckContext): Promise<string> => {
    const error = await checkNow(context, 'data', false).catch((failure: unknown) => failure as Error & { code: string });
    assert.ok(error instanceof Error && error.code === 'in-use');
    return error.message;
  };
  const holds = (name?: string) => (): Promise<string | undefined> => Promise.resolve(name);
  assert.equal(
    await said(contextOf(true, ['h1', 'h2'], holds('h2'))),
    'volume "data" is served by h2: say it there (it is mounted on this host (h0), h1, h2)',
  );
  assert.equal(await said(contextOf(false, ['h1', 'h2'], holds('h1'))), 'volume "data" is served by h1: say it there (it is mounted on h1, h2)');
  // The lease of a host that died, or none that can be read.
  assert.match(await said(contextOf(true, ['h1'], holds('dead'))), /served by another host: say it there \(it is mounted on this host \(h0\), h1\)/);
  assert.match(await said(contextOf(true, ['h1'], () => Promise.reject(new Error('no majority')))), /served by another host/);
});

test('a closed volume that lost a block of its journal is mended where a person wants that, and that is written down', async () => {
  const store = new MemoryBlockStore();
  const mount = async (): Promise<Volume> => open(store, {}, { session: await claimSession(store, volumeId) });
  const volume = await mount();
  await put(volume, root, 'first', 'first', true);
  await volume.recall();
  await put(volume, root, 'second', 'second', true);
  store.restart();
  const audit: object[] = [];
  let used = false;
  let loss: string | undefined;
  const context = {
    catalogue: { current: () => Promise.resolve({ name: 'data', id: volumeId, options: parseVolumeOptions({}) }) },
    volumes: { servedById: () => undefined },
    store,
    checkMember: () => {},
    checkWrites: () => {},
    usedElsewhere: () => Promise.resolve([]),
    cluster: () => undefined,
    clock: systemClock,
    mayBeInUse: () => Promise.resolve(used),
    unacceptedLoss: () => loss,
    inodesHere: () => inodesIn(store),
    audit: async (line: object) => void audit.push(line),
    logger: silentLogger,
  } as unknown as VolumeCheckContext;
  const slots = Array.from({ length: 256 }, (_, slot) => namedAddress(volumeId, `journal:${slot}`)).filter(
    (address) => store.peek(address) !== undefined,
  );
  store.giveUp(slots.at(-1)!);
  const said = /^block \d+ of the journal of names is lost .* may be lost; with --repair the volume can be mounted without it$/;
  assert.match((await checkNow(context, 'data', false)).problems[0]!, said);
  used = true;
  await assert.rejects(checkNow(context, 'data', true), { code: 'in-use' });
  assert.deepEqual([audit.length, await mount().then(Boolean, (error: { code: string }) => error.code)], [0, 'lost']);
  used = false;
  // What is lost only for all that is known may come back: a repair would have made something else of it by then.
  loss = '2 hosts were lost together';
  assert.match((await checkNow(context, 'data', false)).problems[0]!, said);
  await assert.rejects(checkNow(context, 'data', true), { code: 'lost', message: /not repaired while .* found again: 2 hosts were lost together$/ });
  assert.deepEqual([audit.length, await mount().then(Boolean, (error: { code: string }) => error.code)], [0, 'lost']);
  loss = undefined;
  assert.match((await checkNow(context, 'data', true)).problems[0]!, said);
  assert.deepEqual(
    audit.map((line) => (line as { step: string }).step),
    ['begin', 'end'],
  );
  const after = await mount();
  assert.deepEqual([typeof (await look(after, root, 'first')), await look(after, root, 'second')], ['number', undefined]);
});
