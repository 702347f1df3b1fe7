import assert from 'node:assert/strict';
import { test } from 'node:test';

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
    'volume "data" is open on h2: check it there (it is mounted on this host (h0), h1, h2)',
  );
  assert.equal(await said(contextOf(false, ['h1', 'h2'], holds('h1'))), 'volume "data" is open on h1: check it there (it is mounted on h1, h2)');
  // The lease of a host that died, or none that can be read.
  assert.match(await said(contextOf(true, ['h1'], holds('dead'))), /open on another host: check it there \(it is mounted on this host \(h0\), h1\)/);
  assert.match(await said(contextOf(true, ['h1'], () => Promise.reject(new Error('no majority')))), /open on another host/);
});
