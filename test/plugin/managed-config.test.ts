import assert from 'node:assert/strict';
import { test } from 'node:test';

import { managedConfig } from '../../plugin/managed-config.ts';

function devices(isThere: (device: string) => boolean): readonly string[] {
  return managedConfig('.', isThere).linux.devices.map(({ path }) => path);
}

test('the managed plugin asks for what keeps processors awake only where the host has it', () => {
  assert.deepEqual(
    devices(() => true),
    ['/dev/fuse', '/dev/cpu_dma_latency'],
  );
  assert.deepEqual(
    devices(() => false),
    ['/dev/fuse'],
  );
});
