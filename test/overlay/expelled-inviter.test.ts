/** What the key of an inviter that was expelled, and the secret of a token that was revoked, are still good for. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { systemRandom } from '../../src/base/index.ts';
import {
  allRights,
  createToken,
  KeyPair,
  type Passport,
  passportFromCluster,
  passportFromToken,
  readOwnPassport,
  readToken,
  type Revocation,
  type Right,
  signRecord,
  signRevocation,
  type Token,
} from '../../src/overlay/identity/index.ts';
import { peerIdOf } from '../../src/overlay/index.ts';
import { MemberTable } from '../../src/overlay/membership/member-table.ts';
import { newsKind } from '../../src/overlay/membership/anti-entropy.ts';
import { PassportGate } from '../../src/overlay/membership/passport-gate.ts';
import { StateFiles } from '../../src/overlay/state-files.ts';
import { eventually } from '../suites/transport-suite.ts';
import { Cluster } from './fixture.ts';

const dayMs = 24 * 60 * 60 * 1000;
const now = 100 * dayMs;
const clusterKey = new KeyPair(systemRandom.bytes(32));
const newKey = (): KeyPair => new KeyPair(systemRandom.bytes(32));
const newPeer = (): string => peerIdOf(newKey().publicKey);

interface Signer {
  readonly key: KeyPair;
  readonly cluster: Uint8Array;
  readonly passport?: Passport;
}

const founder: Signer = { key: clusterKey, cluster: clusterKey.publicKey };

function invite(by: Signer, id: string, rights: readonly Right[] = ['store'], uses = 9): Token {
  return readToken(createToken({ id, rights, expiresMs: now + dayMs, uses }, systemRandom.bytes(32), by));
}

function inviterWith(token: Token): Signer & { readonly passport: Passport } {
  const key = newKey();
  return { key, cluster: clusterKey.publicKey, passport: passportFromToken(token, peerIdOf(key.publicKey), now) };
}

/** A host that knows a member without the right to invite, and one with it. */
function gate(): { readonly gate: PassportGate; readonly member: string; readonly chief: string } {
  const self = newPeer();
  const made = new PassportGate(self, { monotonicMs: () => now, wallMs: () => now });
  made.setOwn(passportFromCluster(clusterKey, self, now));
  const [member, chief] = [newPeer(), newPeer()];
  made.admit(member, Buffer.from(passportFromToken(invite(founder, 'aa'), member, now).text));
  made.admit(chief, Buffer.from(passportFromCluster(clusterKey, chief, now).text));
  return { gate: made, member, chief };
}

const expelled = inviterWith(invite(founder, '01', allRights));
const known = passportFromToken(invite(expelled, '02'), newPeer(), now);
const made = passportFromToken(invite(expelled, '03'), newPeer(), now);

test('of those whom an expelled inviter let in, a member that may not invite lets in only who was to stay', () => {
  const { gate: newcomer, member, chief } = gate();
  newcomer.revoke(signRevocation(`host:${expelled.passport.peer}`, now, founder, { stays: [known.peer] }));
  newcomer.vouch(known.peer, known.text, member);
  assert.equal(newcomer.standing(known.peer), 'member');
  assert.throws(() => newcomer.vouch(made.peer, made.text, member), { code: 'denied', message: /was revoked/ });
  assert.equal(newcomer.standing(made.peer), 'unknown');
  // Who may invite could let it in as well.
  newcomer.vouch(made.peer, made.text, chief);
  assert.equal(newcomer.standing(made.peer), 'member');
});

test('the same goes for those who joined with a token that was revoked', () => {
  const { gate: newcomer, member } = gate();
  const token = invite(founder, '04');
  const [stays, late] = [newPeer(), newPeer()].map((peer) => passportFromToken(token, peer, now));
  newcomer.revoke(signRevocation('token:04', now, founder, { stays: [stays!.peer] }));
  newcomer.vouch(stays!.peer, stays!.text, member);
  assert.throws(() => newcomer.vouch(late!.peer, late!.text, member), { code: 'denied', message: /was revoked/ });
});

test('a revocation of before those who stay were named keeps out by hearsay nobody, and more than it can name are not named', () => {
  const { gate: newcomer, member } = gate();
  newcomer.revoke(signRevocation(`host:${expelled.passport.peer}`, now, founder));
  newcomer.vouch(known.peer, known.text, member);
  assert.equal(newcomer.standing(known.peer), 'member');
  const many = Array.from({ length: 600 }, () => newPeer());
  assert.equal(signRevocation('token:05', now, founder, { stays: many }).stays, undefined);
  assert.equal(signRevocation('token:05', now, founder, { stays: many.slice(0, 500) }).stays!.size, 500);
});

test('an inviter that was to stay when its own inviter was expelled goes on inviting', () => {
  const { gate: host } = gate();
  const staying = inviterWith(invite(expelled, '06', allRights));
  const guest = newPeer();
  host.admit(staying.passport.peer, Buffer.from(staying.passport.text));
  const stays = host.staying(`host:${expelled.passport.peer}`, new Set());
  assert.deepEqual(stays, [staying.passport.peer]);
  host.revoke(signRevocation(`host:${expelled.passport.peer}`, now, founder, { stays }));
  host.admit(guest, Buffer.from(passportFromToken(invite(staying, '07'), guest, now).text));
  assert.equal(host.standing(guest), 'member');
  assert.throws(() => host.admit(made.peer, Buffer.from(made.text)), { code: 'denied', message: /was revoked/ });
});

test('an expelled inviter expels nobody any more: only what was known of its word then counts, or what one says who may', () => {
  const { gate: host, member, chief } = gate();
  const sockpuppet = inviterWith(invite(expelled, '08', allRights));
  const [before, after, later] = [newPeer(), newPeer(), newPeer()];
  const table = new MemberTable(host, () => {});
  const take = (revocation: Revocation, from: string): boolean => table.mergeRevocation(revocation.text, clusterKey.publicKey, from) !== undefined;
  const elsewhere = gate().gate;
  elsewhere.revoke(signRevocation(`host:${before}`, now, expelled));
  const subject = `host:${expelled.passport.peer}` as const;
  const naming = { stays: elsewhere.staying(subject, new Set()), keeps: elsewhere.revokedBy(expelled.passport.peer) };
  assert.ok(take(signRevocation(subject, now, founder, naming), member));
  assert.ok(take(signRevocation(`host:${before}`, now, expelled), member));
  for (const by of [expelled, sockpuppet])
    assert.throws(() => take(signRevocation(`host:${after}`, now - dayMs, by), member), { code: 'denied', message: /expelled/ });
  assert.deepEqual([...host.revokedHosts].sort(), [expelled.passport.peer, before].sort());
  // Who may expel could do it as well.
  assert.ok(take(signRevocation(`host:${after}`, now, expelled), chief));
  // As long as it is no more than a member that lies, all must come to the same list.
  const { gate: other, member: teller } = gate();
  assert.notEqual(
    new MemberTable(other, () => {}).mergeRevocation(signRevocation(`host:${later}`, now, expelled).text, clusterKey.publicKey, teller),
    undefined,
  );
});

test('who stays is told by the revocation itself: a newcomer that meets no inviter takes them, and nobody else of the expelled one', async () => {
  await using cluster = await Cluster.inMemory({ heartbeat: { intervalMs: 40, suspectMs: 400, downMs: 800 } });
  const a = await cluster.first();
  const by = (peer: string): { join: string[] } => ({ join: [`memory:${peer}`] });
  const x = await cluster.join('x', a, by(a.self));
  const b = await cluster.join('b', a, by(a.self));
  await a.grant(x.self);
  const h = await cluster.join('h', x, by(x.self));
  await eventually(() => [a, b, x].every((host) => host.member(h.self) !== undefined), 'all know h');
  const tokenFile = await cluster.tokenFile(a);
  await a.revokeHost(x.self);
  await eventually(() => [b, h].every((host) => host.expelled().has(x.self)), 'x is expelled');
  await cluster.stop(a);
  const n = await cluster.open('n', { tokenFile, ...by(b.self) });
  await eventually(() => n.member(h.self) !== undefined, 'n knows h');
  // The key of x signs as ever, and b tells of whom it makes.
  const files = await StateFiles.open(path.join(cluster.directory, 'x'));
  const passport = readOwnPassport((await files.read('passport'))!.trim());
  const signer = { key: (await files.readKey('host.key'))!, cluster: passport.cluster, passport };
  const terms = { id: '0123456789abcdef', rights: ['store', 'write'], expiresMs: Date.now() + dayMs, uses: 1 } as const;
  const sybil = newKey();
  const peer = peerIdOf(sybil.publicKey);
  const made = passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), signer)), peer, Date.now());
  const about = { name: 's', zone: 'z', capacity: 9, addresses: [], state: 'up', incarnation: 1, nonce: 'ab', sequence: 1 } as const;
  const news = { entries: [{ record: signRecord(about, sybil), passport: made.text }], revocations: [] };
  await b.transport.request(n.self, newsKind, Buffer.from(JSON.stringify(news)));
  await sleep(50);
  assert.equal(n.member(peer), undefined);
});
