import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const module = path.resolve(import.meta.dirname, '../../src/node/mounts/mount-users.ts');

/** In a mount namespace of its own, which takes everything with it. Each `places` prints where the file system at `home/volume` is mounted besides. */
function inNamespace(base: string, commands: string): readonly string[][] {
  const program = [
    `import { deviceMountedAt, otherPlaces } from ${JSON.stringify(module)};`,
    `const place = ${JSON.stringify(path.join(base, 'home/volume'))};`,
    `const found = await otherPlaces(await deviceMountedAt(place), place);`,
    `console.log(JSON.stringify(found.map((each) => each.slice(${base.length + 1})).toSorted()));`,
  ].join(' ');
  const script = `cd '${base}'\nplaces() { "$node" --input-type=module-typescript -e "$program"; }\n${commands}`;
  const { stdout, stderr, status } = spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-euc', script], {
    encoding: 'utf8',
    env: { ...process.env, node: process.execPath, program },
  });
  assert.equal(status, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);
}

test('what the kernel made of a mount under another bind of its directory is no further user, a bind that a person made is one', (t) => {
  const base = mkdtempSync(path.join(tmpdir(), 'infinit-twins-'));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const found = inNamespace(
    base,
    `mkdir home twin slave private
     mount -t tmpfs home home; mount --make-shared home; mkdir home/volume home/mine 'home/a blank'
     mount --bind home twin
     mount --bind home slave; mount --make-slave slave
     mount --bind home private; mount --make-private private
     mount -t tmpfs volume home/volume
     mountpoint -q twin/volume; mountpoint -q slave/volume
     places
     mount --bind home/volume home/mine
     places
     mount --bind home/volume private/mine
     places
     umount home/mine; mount --bind home/volume 'home/a blank'
     places`,
  );
  assert.deepEqual(found, [[], ['home/mine'], ['home/mine', 'private/mine'], ['home/a blank', 'private/mine']]);
});
