import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';

import { immutableAddress } from '../../src/block/index.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { PortStore, servePort } from '../../src/store/port/index.ts';

const sealed = randomBytes(300_000);
const address = immutableAddress(sealed);

/** A store that reads into given memory, some bytes after its beginning, as a disk does. */
const source: Pick<BlockStore, 'get'> = {
  get: (_address, options) => {
    const { memory } = options ?? {};
    if (memory === undefined) return Promise.resolve(Uint8Array.from(sealed));
    const bytes = new Uint8Array(memory.buffer, memory.byteOffset + 96, sealed.length);
    bytes.set(sealed);
    return Promise.resolve(bytes);
  },
};

test('what is read into the caller’s memory comes back in that very memory, so that he knows whose it is', async () => {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, source as BlockStore);
  const store = new PortStore(port2);
  const memory = new Uint8Array(new SharedArrayBuffer(400_000));
  const bytes = await store.get(address, { memory });
  assert.equal(bytes.buffer, memory.buffer);
  assert.ok(sealed.equals(bytes));
  const own = await store.get(address);
  assert.notEqual(own.buffer, memory.buffer);
  assert.ok(sealed.equals(own));
  port2.close();
});
