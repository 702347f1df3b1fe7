import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
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
