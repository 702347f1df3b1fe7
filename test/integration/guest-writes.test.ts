/** Programs on a host that another one serves write in that host's memory: what they were told is written others see, and what they synced outlives any host. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sh } from './programs.ts';
import { shareMounts } from './shared-mounts.ts';

const mebibyte = 1024 * 1024;

function sumOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

test('others see at once what a program on a guest was told is written, while it has the file open', async () => {
  await using hosts = await shareMounts();
  const [first, second, third] = hosts.places;
  const file = openSync(path.join(second, 'log'), 'a');
  let text = '';
  for (let line = 0; line < 20; line++) {
    writeSync(file, `line ${line}\n`);
    text += `line ${line}\n`;
    const reader = line % 2 === 0 ? first : third;
    assert.equal(readFileSync(path.join(reader, 'log'), 'utf8'), text);
    if (line % 5 === 4) {
      // Others write it as well.
      await sh(`echo other >> ${path.join(reader, 'log')}`);
      text += 'other\n';
    }
  }
  closeSync(file);
  for (const place of hosts.places) assert.equal(readFileSync(path.join(place, 'log'), 'utf8'), text);
});

test('a name that a guest gives to a file that it writes, or takes from it, has all that was written', async () => {
  await using hosts = await shareMounts();
  const [first, second, third] = hosts.places;
  const file = openSync(path.join(second, 'new'), 'w');
  writeSync(file, 'whole');
  await sh(`mv ${second}/new ${second}/f`);
  assert.equal(readFileSync(path.join(third, 'f'), 'utf8'), 'whole');
  writeSync(file, ' and more');
  await sh(`rm ${first}/f`);
  writeSync(file, ' yet');
  fsyncSync(file);
  ftruncateSync(file, 5);
  writeSync(file, '!', 5);
  assert.equal(statSync(`/proc/self/fd/${file}`).size, 6);
  closeSync(file);
  assert.equal(await sh(`ls ${third}`), '');
});

test('a stream that a guest writes is whole when the host that serves the volume is killed on its way', async () => {
  await using hosts = await shareMounts();
  const [, second, third] = hosts.places;
  const source = await mkdtemp(path.join(tmpdir(), 'infinit-stream-'));
  try {
    const data = path.join(source, 'data');
    await sh(`head -c ${48 * mebibyte} /dev/urandom > ${data}`);
    const copied = sh(`dd if=${data} of=${second}/stream bs=1M conv=fsync status=none`);
    await sleep(150);
    await hosts.cluster.hosts[0]!.kill();
    await copied;
    for (const place of [second, third]) assert.equal(sumOf(path.join(place, 'stream')), sumOf(data));
  } finally {
    await rm(source, { recursive: true });
  }
});

test('what a guest has written is there after its daemon was killed, and a sync succeeds', async () => {
  await using hosts = await shareMounts();
  const [first, second] = hosts.places;
  const file = await open(path.join(second, 'f'), 'w');
  const synced = Buffer.alloc(3 * mebibyte, 'synced');
  await file.write(synced, 0, synced.length, 0);
  await file.sync();
  const later = Buffer.alloc(2 * mebibyte, 'later');
  await file.write(later, 0, later.length, synced.length);
  await hosts.cluster.hosts[1]!.crash();
  await file.sync();
  const seen = readFileSync(path.join(first, 'f'));
  assert.ok(seen.equals(Buffer.concat([synced, later])));
  // The file goes on.
  await file.write(later, 0, later.length, synced.length);
  await file.sync();
  await file.close();
  assert.ok(readFileSync(path.join(first, 'f')).equals(Buffer.concat([synced, later])));
});

test('a guest that ends its mount leaves nothing unsaid, and one whose host is lost holds nobody up', async () => {
  await using hosts = await shareMounts();
  const [first, second, third] = hosts.places;
  const file = openSync(path.join(second, 'f'), 'w');
  writeSync(file, 'kept');
  fsyncSync(file);
  writeSync(file, ' and lost');
  await hosts.cluster.hosts[1]!.kill();
  assert.ok(['kept', 'kept and lost'].includes(readFileSync(path.join(first, 'f'), 'utf8')));
  await sh(`echo theirs > ${third}/f`);
  assert.equal(readFileSync(path.join(first, 'f'), 'utf8'), 'theirs\n');
  await writeFile(path.join(third, 'g'), 'written');
  await hosts.cluster.hosts[2]!.client.unmountVolume('data', 'test');
  assert.equal(readFileSync(path.join(first, 'g'), 'utf8'), 'written');
  // Its host is gone.
  assert.throws(() => closeSync(file), { code: 'ENOTCONN' });
});
