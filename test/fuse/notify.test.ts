import assert from 'node:assert/strict';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Mounted } from './mounted.ts';

describe('notifications', () => {
  let mounted: Mounted;
  before(async () => {
    mounted = await Mounted.start();
  });
  after(() => mounted[Symbol.asyncDispose]());

  test('the kernel believes its cache until it is told otherwise', async () => {
    writeFileSync(mounted.path('file'), 'before');
    assert.equal(readFileSync(mounted.path('file'), 'utf8'), 'before');
    await mounted.command({ do: 'write', path: '/file', text: 'behind' });
    assert.equal(readFileSync(mounted.path('file'), 'utf8'), 'before', 'read from the page cache');
    await mounted.command({ do: 'invalidate', path: '/file', what: 'data' });
    assert.equal(readFileSync(mounted.path('file'), 'utf8'), 'behind');
  });

  test('dirty pages are written back before an invalidation is done', async () => {
    const fd = openSync(mounted.path('dirty'), 'w');
    writeFileSync(fd, 'not yet written back');
    const before = (await mounted.statistics()).operations['write'] ?? 0;
    await mounted.command({ do: 'invalidate', path: '/dirty', what: 'data' });
    assert.equal((await mounted.statistics()).operations['write'], before + 1);
    closeSync(fd);
  });

  test('a name that vanished elsewhere is seen to be gone, and one that appeared to be there', async () => {
    writeFileSync(mounted.path('vanishing'), '');
    await mounted.command({ do: 'remove', path: '/vanishing' });
    assert.ok(existsSync(mounted.path('vanishing')));
    await mounted.command({ do: 'invalidate', path: '/vanishing', what: 'entry' });
    assert.ok(!existsSync(mounted.path('vanishing')));
  });

  test('a file that grew elsewhere is longer here too, also for who has it open', async () => {
    writeFileSync(mounted.path('growing'), 'one ');
    const fd = openSync(mounted.path('growing'), 'r');
    assert.equal(fstatSync(fd).size, 4);
    await mounted.command({ do: 'grow', path: '/growing', text: 'two' });
    await mounted.command({ do: 'invalidate', path: '/growing', what: 'data' });
    assert.equal(fstatSync(fd).size, 7);
    const buffer = Buffer.alloc(20);
    assert.equal(buffer.toString('latin1', 0, readSync(fd, buffer, 0, 20, 0)), 'one two');
    closeSync(fd);
    assert.equal(statSync(mounted.path('growing')).size, 7);
  });

  test('invalidating a name while a file is being made in the same directory does not hang', async () => {
    mkdirSync(mounted.path('busy'));
    writeFileSync(mounted.path('busy', 'other'), '');
    await mounted.command({ do: 'hold', operation: 'mknod' });
    const creating = writeFile(mounted.path('busy', 'new'), 'new');
    await mounted.held(1);
    const invalidating = mounted.command({ do: 'invalidate', path: '/busy/other', what: 'entry' });
    // The notification waits for the directory's lock; the event loop goes on and answers the MKNOD.
    mounted.child.send({ do: 'release' });
    await Promise.all([creating, invalidating]);
    const file = await open(mounted.path('busy', 'new'));
    await file.close();
  });
});
