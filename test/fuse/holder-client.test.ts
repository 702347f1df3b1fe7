import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { HolderClient } from '../../src/fuse/index.ts';
import { holderVariable } from '../../src/fuse/holder-messages.ts';

test('however many volumes stop at once, each hears of its own mount, by one listener', async (t) => {
  const { send } = process;
  const before = process.listenerCount('message');
  t.after(() => {
    Object.assign(process, { send });
    process.removeAllListeners('message');
  });
  // A holder that has one mount more at each question.
  let questions = 0;
  const mountsOf = (count: number): object[] => Array.from({ length: count }, (_, connection) => ({ connection }));
  process.send = (): boolean => {
    const mounts = mountsOf(questions++);
    setImmediate(() => process.emit('message', { type: 'inherit', mounts }, undefined));
    return true;
  };
  process.env[holderVariable] = '1';
  const client = await HolderClient.connect(silentLogger);
  assert.ok(client.connected);
  const kept = Array.from({ length: 20 }, (_, connection) => client.keeps({ connection }));
  assert.equal(process.listenerCount('message'), before + 1);
  assert.deepEqual(
    await Promise.all(kept),
    Array.from({ length: 20 }, () => true),
  );
  assert.equal(await client.keeps({ connection: 99 }), false);
});
