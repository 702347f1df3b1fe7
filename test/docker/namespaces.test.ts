import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { Namespaces } from './namespaces.ts';
import { must } from './process.ts';

/** The places below the directory where a process sees something mounted. */
const placesBelow = (pid: number | 'self', directory: string): string[] =>
  readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((place) => place.startsWith(`${directory}/`));

void test('a host keeps no copy of what other tests have mounted, also where mounts lie upon each other', async () => {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-namespaces-'));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const mount = async (name: string): Promise<void> => {
    const place = path.join(directory, name);
    mkdirSync(place, { recursive: true });
    await must('mount', ['-t', 'tmpfs', 'none', place]);
    stack.defer(async () => void (await must('umount', [place])));
  };
  for (const name of ['a', 'b', 'c', 'd', 'd', 'd/e', 'f']) await mount(name);
  assert.equal(placesBelow('self', directory).length, 7);

  await using host = await Namespaces.create('h1', path.join(directory, 'host'));
  assert.deepEqual(placesBelow(host.pid, directory), []);
  assert.equal(placesBelow('self', directory).length, 7);
});
