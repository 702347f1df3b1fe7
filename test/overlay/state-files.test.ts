import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { silentLogger, systemClock, systemRandom } from '../../src/base/index.ts';
import { ClusterAuthority } from '../../src/overlay/cluster-authority.ts';
import { allRights, createToken, KeyPair, passportFromCluster, passportFromToken, readToken } from '../../src/overlay/identity/index.ts';
import { MemberFile } from '../../src/overlay/member-file.ts';
import { PassportGate } from '../../src/overlay/membership/passport-gate.ts';
import { peerIdOf } from '../../src/overlay/index.ts';
import { StateFiles } from '../../src/overlay/state-files.ts';

async function inDirectory(job: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-overlay-'));
  try {
    await job(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test('writes of one file that come at once follow each other, and the last one stays', () =>
  inDirectory(async (directory) => {
    const files = await StateFiles.open(directory);
    const texts = Array.from({ length: 30 }, (_, index) => `${index} `.repeat(1000 - 30 * index));
    await Promise.all(texts.map((text) => files.write('passport', text)));
    assert.equal(await files.read('passport'), texts.at(-1));
    await Promise.all([files.write('left', 'yes'), files.remove('left'), files.write('left', 'again'), files.remove('left')]);
    assert.equal(await files.read('left'), undefined);
  }));

test('a FIFO in the place of a file is refused, and what lies where a file is to be drafted is neither followed nor waited for', () =>
  inDirectory(async (directory) => {
    const files = await StateFiles.open(directory);
    const at = (name: string): string => path.join(directory, name);
    const fifo = (name: string): void => assert.equal(spawnSync('mkfifo', [at(name)]).status, 0);
    fifo('passport');
    await assert.rejects(files.read('passport'), { code: 'damaged', message: /passport is a FIFO/ });
    await writeFile(at('other'), 'untouched');
    await symlink('other', at('left.new'));
    await files.write('left', 'yes');
    assert.deepEqual([await files.read('left'), await readFile(at('other'), 'utf8')], ['yes', 'untouched']);
    fifo('left.new');
    await files.write('left', 'again');
    assert.equal(await files.read('left'), 'again');
    await assert.rejects(StateFiles.open(at('left')), { code: 'bad-argument', message: /left has to be a directory/ });
  }));

test('of passports that two members grant at once the host keeps the later one, in its file as well', () =>
  inDirectory(async (directory) => {
    const clusterKey = new KeyPair(systemRandom.bytes(32));
    const key = new KeyPair(systemRandom.bytes(32));
    const self = peerIdOf(key.publicKey);
    const chief = peerIdOf(new KeyPair(systemRandom.bytes(32)).publicKey);
    const gate = new PassportGate(self, systemClock);
    const files = await StateFiles.open(directory);
    const authority = new ClusterAuthority(files, key, gate, systemClock, systemRandom, silentLogger);
    const now = Date.now();
    const terms = { id: '01', rights: ['store'], expiresMs: now + 60_000, uses: 1 } as const;
    gate.setOwn(
      passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), { key: clusterKey, cluster: clusterKey.publicKey })), self, now),
    );
    gate.admit(chief, Buffer.from(passportFromCluster(clusterKey, chief, now).text));
    const granted = [now + 2, now + 1].map((issued) => passportFromCluster(clusterKey, self, issued).text);
    const taken = await Promise.allSettled(granted.map((text) => authority.takePassport(text, self, chief)));
    assert.deepEqual(
      taken.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    assert.deepEqual(gate.own!.rights, allRights);
    assert.equal(gate.own!.text, granted[0]);
    assert.equal((await files.read('passport'))!.trim(), granted[0]);
  }));

test('while the list of members is being written no further ones pile up', async () => {
  const written: string[] = [];
  const { promise: slow, resolve: finish } = Promise.withResolvers<void>();
  const files = {
    write: async (_file: string, text: string) => {
      written.push(text);
      if (written.length === 1) await slow;
    },
  };
  let count = 0;
  const file = new MemberFile(files as unknown as StateFiles, silentLogger, () => ({ entries: [], revocations: [String(count++)] }), 1);
  for (let round = 0; round < 20; round++) {
    file.saveSoon();
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  assert.deepEqual([written.length, count], [1, 1]);
  finish();
  await file[Symbol.asyncDispose]();
  assert.deepEqual([written.length, count], [2, 2]);
});

test('a host that has started before makes no new key where its own is gone: it would be another host', () =>
  inDirectory(async (directory) => {
    const files = await StateFiles.open(directory);
    await files.hostKey(systemRandom);
    await files.nextIncarnation();
    await files.remove('host.key');
    await assert.rejects(files.hostKey(systemRandom), { code: 'damaged', message: /host\.key.*gone: restore it/ });
    assert.equal(await files.read('host.key'), undefined);
  }));

test('starts are not counted anew where their number is spoilt, nor of a member where it is gone', () =>
  inDirectory(async (directory) => {
    const files = await StateFiles.open(directory);
    assert.equal(await files.nextIncarnation(), 1);
    // A first start that was cut short has no number, and no passport either.
    await files.remove('incarnation');
    assert.equal(await files.nextIncarnation(), 1);
    for (const text of ['', '\n', '-3', '1e3', '9'.repeat(9), 'x']) {
      await files.write('incarnation', text);
      await assert.rejects(files.nextIncarnation(), { code: 'damaged', message: /holds no number.*larger/ }, text);
    }
    await files.write('passport', 'one');
    await files.remove('incarnation');
    await assert.rejects(files.nextIncarnation(), { code: 'damaged', message: /is gone.*larger/ });
    await files.write('incarnation', '1000000\n');
    assert.equal(await files.nextIncarnation(), 1_000_001);
  }));

test('a passport of another host is not taken for this one’s', () =>
  inDirectory(async (directory) => {
    const files = await StateFiles.open(directory);
    const [own, other, cluster] = [1, 2, 3].map(() => new KeyPair(systemRandom.bytes(32)));
    const gate = new PassportGate(peerIdOf(own!.publicKey), systemClock);
    const authority = new ClusterAuthority(files, own!, gate, systemClock, systemRandom, silentLogger);
    await files.write('passport', passportFromCluster(cluster!, peerIdOf(other!.publicKey), 0).text);
    await assert.rejects(authority.loadPassport(), { code: 'damaged', message: /passport here is of host/ });
    await files.write('passport', passportFromCluster(cluster!, peerIdOf(own!.publicKey), 0).text);
    await authority.loadPassport();
    assert.notEqual(gate.own, undefined);
  }));
