/** A roster that takes more than a message may have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger, systemClock, systemRandom } from '../../src/base/index.ts';
import {
  allRights,
  createToken,
  KeyPair,
  type Passport,
  passportFromCluster,
  passportFromToken,
  readToken,
  signRecord,
  signRevocation,
} from '../../src/overlay/identity/index.ts';
import { maxBodyBytes, MemoryNetwork, type MemoryTransport, type PeerId, peerIdOf } from '../../src/overlay/index.ts';
import { AntiEntropy } from '../../src/overlay/membership/anti-entropy.ts';
import { type Entry, MemberTable } from '../../src/overlay/membership/member-table.ts';
import { PassportGate } from '../../src/overlay/membership/passport-gate.ts';

const clusterKey = new KeyPair(systemRandom.bytes(32));
const cluster = clusterKey.publicKey;
const newKey = (): KeyPair => new KeyPair(systemRandom.bytes(32));

/** A passport with as long a chain of invitations as there may be, which makes what is signed with it large. */
function longChain(links: number, key: KeyPair): Passport {
  if (links === 0) return passportFromCluster(clusterKey, peerIdOf(key.publicKey), Date.now());
  const issuer = newKey();
  const signer = { key: issuer, cluster, passport: longChain(links - 1, issuer) };
  const terms = { id: '01', rights: allRights, expiresMs: Date.now() + 3_600_000, uses: 1_000_000 };
  return passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), signer)), peerIdOf(key.publicKey), Date.now());
}

class Host implements Disposable {
  readonly transport: MemoryTransport;
  readonly table: MemberTable;
  readonly gate: PassportGate;
  readonly sync: AntiEntropy;

  constructor(network: MemoryNetwork) {
    const self = peerIdOf(newKey().publicKey);
    this.gate = new PassportGate(self, systemClock);
    this.gate.setOwn(passportFromCluster(clusterKey, self, Date.now()));
    this.table = new MemberTable(this.gate, () => {});
    this.transport = network.open(self);
    this.sync = new AntiEntropy(
      this.transport,
      this.table,
      () => cluster,
      systemClock,
      silentLogger,
      () => {},
    );
  }

  get self(): PeerId {
    return this.transport.self;
  }

  [Symbol.dispose](): void {
    this.sync[Symbol.dispose]();
  }
}

const inviterKey = newKey();
const inviter = { key: inviterKey, cluster, passport: longChain(2, inviterKey) };

function bigEntry(): Entry {
  const key = newKey();
  const terms = { id: '02', rights: ['store'], expiresMs: Date.now() + 3_600_000, uses: 1_000_000 } as const;
  const passport = passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), inviter)), peerIdOf(key.publicKey), Date.now()).text;
  const addresses = Array.from({ length: 16 }, () => `${'a'.repeat(250)}:7470`);
  const about = { name: 'n', zone: 'z', capacity: 1, addresses, state: 'up', incarnation: 1, nonce: 'ab', sequence: 1 } as const;
  return { record: signRecord(about, key), passport };
}

function bytesOf(table: MemberTable): number {
  return JSON.stringify(table.all()).length;
}

/** More than there may be in one message, by number and by size. */
const entries = Array.from({ length: 520 }, () => bigEntry());

test('a roster larger than a message is learnt by a newcomer, and told to who lacks it', async () => {
  const network = new MemoryNetwork();
  using host = new Host(network);
  for (const entry of entries) host.table.merge(entry);
  for (let count = 0; count < 100; count++)
    host.table.mergeRevocation(signRevocation(`host:${peerIdOf(newKey().publicKey)}`, Date.now(), inviter).text, cluster);
  assert.ok(bytesOf(host.table) > maxBodyBytes, `${bytesOf(host.table)} bytes`);
  // One asks, the other is asked.
  using newcomer = new Host(network);
  await newcomer.sync.sync(host.self);
  assert.equal(newcomer.table.digest, host.table.digest);
  using ignorant = new Host(network);
  for (let round = 0; round < 10 && ignorant.table.digest !== host.table.digest; round++) {
    await host.sync.sync(ignorant.self);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(ignorant.table.digest, host.table.digest);
});

test('entries that a host refuses keep no others from it', async () => {
  const network = new MemoryNetwork();
  using host = new Host(network);
  for (const entry of entries) host.table.merge(entry);
  using newcomer = new Host(network);
  // More than a page of hosts of which it knows better.
  for (const { peer } of host.table.records().slice(0, 505)) newcomer.gate.revoke(signRevocation(`host:${peer}`, Date.now(), inviter));
  for (let round = 0; round < 20 && newcomer.table.size < 15; round++) await newcomer.sync.sync(host.self);
  assert.equal(newcomer.table.size, 15);
});
