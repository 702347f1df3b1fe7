import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemRandom } from '../../src/base/index.ts';
import {
  allRights,
  createToken,
  KeyPair,
  type Passport,
  passportFromCluster,
  passportFromToken,
  readToken,
  signRevocation,
  type Token,
} from '../../src/overlay/identity/index.ts';
import { peerIdOf } from '../../src/overlay/index.ts';
import { PassportGate } from '../../src/overlay/membership/passport-gate.ts';

const dayMs = 24 * 60 * 60 * 1000;
const now = 100 * dayMs;
const clusterKey = new KeyPair(systemRandom.bytes(32));
const signer = { key: clusterKey, cluster: clusterKey.publicKey };
const newPeer = (): string => peerIdOf(new KeyPair(systemRandom.bytes(32)).publicKey);

function token(id: string, expiresMs: number): Token {
  return readToken(createToken({ id, rights: ['store'], expiresMs, uses: 1 }, systemRandom.bytes(32), signer));
}

function gateOf(isJoining: boolean): PassportGate {
  const self = newPeer();
  const clock = { monotonicMs: () => now, wallMs: () => now };
  const gate = new PassportGate(self, clock, () => isJoining);
  gate.setOwn(passportFromToken(token('00', now + dayMs), self, now));
  return gate;
}

const old = token('01', now - dayMs);
const other = newPeer();
const made = Buffer.from(passportFromToken(old, other, now - 2 * dayMs).text);

test('a newcomer that asks to be let in takes a member whose token has expired since it joined', () => {
  const gate = gateOf(true);
  gate.admit(other, made, gate.isJoining);
  assert.equal(gate.standing(other), 'member');
});

test('an expired token lets nobody in who calls, nor who answers a host that has joined', () => {
  for (const [gate, askedToJoin] of [
    [gateOf(true), false],
    [gateOf(false), gateOf(false).isJoining],
  ] as const) {
    assert.throws(() => gate.admit(other, made, askedToJoin), { code: 'denied', message: /the token of host \w+ expired on/ });
    assert.equal(gate.standing(other), 'unknown');
  }
});

test('a passport made after its token expired lets nobody in, not even where a newcomer asked', () => {
  const gate = gateOf(true);
  assert.throws(() => gate.admit(other, Buffer.from(passportFromToken(old, other, now - dayMs).text), true), {
    code: 'denied',
    message: /expired on/,
  });
});

test('a newcomer that asks to be let in refuses who rests on a token that was revoked', () => {
  const gate = gateOf(true);
  gate.revoke(signRevocation('token:01', now, signer));
  assert.throws(() => gate.admit(other, made, true), { code: 'denied', message: /the token of host \w+ was revoked/ });
});

test('by hearsay a member gets a better passport and never a worse one', () => {
  const gate = gateOf(false);
  const member = newPeer();
  const host = readToken(createToken({ id: '02', rights: ['store', 'write'], expiresMs: now + dayMs, uses: 1 }, systemRandom.bytes(32), signer));
  const first = passportFromToken(host, member, now - 1000);
  gate.vouch(member, first.text);
  const short = { id: '03', rights: ['store', 'write'], expiresMs: now + dayMs, uses: 1, passportMs: 1000 } as const;
  const worse = [
    passportFromToken(token('04', now + dayMs), member, now),
    passportFromToken(readToken(createToken(short, systemRandom.bytes(32), signer)), member, now),
    passportFromCluster(clusterKey, member, now + 2 * dayMs),
    passportFromCluster(clusterKey, member, now - 2000),
  ];
  for (const passport of worse) assert.equal(gate.vouch(member, passport.text).text, first.text);
  gate.revoke(signRevocation('token:05', now, signer));
  const revoked = readToken(createToken({ id: '05', rights: allRights, expiresMs: now + dayMs, uses: 1 }, systemRandom.bytes(32), signer));
  assert.equal(gate.vouch(member, passportFromToken(revoked, member, now).text).text, first.text);
  assert.deepEqual(gate.rightsOf(member), first.rights);
  const better = passportFromCluster(clusterKey, member, now);
  gate.vouch(member, better.text);
  assert.deepEqual(gate.rightsOf(member), allRights);
  // Its own word is another matter.
  gate.admit(member, Buffer.from(first.text));
  assert.equal(gate.passportOf(member)!.text, first.text);
});

test('hearsay replaces a passport that rests on a token that was revoked', () => {
  const gate = gateOf(false);
  const member = newPeer();
  const first = passportFromToken(token('06', now + dayMs), member, now - 1000);
  gate.vouch(member, first.text);
  gate.revoke(signRevocation('token:06', now, signer));
  const second = passportFromToken(token('07', now + dayMs), member, now - 2000);
  assert.equal(gate.vouch(member, second.text).text, second.text);
});

/** What a gate says to a farewell by a stranger, or by a member. */
function farewell(gate: PassportGate, peer: string, revocation: { readonly text: string }): string {
  try {
    gate.checkFarewell(peer, revocation.text);
    return 'believed';
  } catch (error) {
    return (error as Error).message;
  }
}

test('a farewell is believed from who need not be a member only about this host, and from an issuer that is good', () => {
  const self = newPeer();
  const gate = new PassportGate(self, { monotonicMs: () => now, wallMs: () => now });
  gate.setOwn(passportFromCluster(clusterKey, self, now));
  const member = newPeer();
  gate.admit(member, Buffer.from(passportFromCluster(clusterKey, member, now).text));
  const inviter = (id: string, expiresMs: number): { readonly key: KeyPair; readonly cluster: Uint8Array; readonly passport: Passport } => {
    const key = new KeyPair(systemRandom.bytes(32));
    const invitation = readToken(createToken({ id, rights: ['invite'], expiresMs, uses: 1 }, systemRandom.bytes(32), signer));
    return { ...signer, key, passport: passportFromToken(invitation, peerIdOf(key.publicKey), now - 2 * dayMs) };
  };
  const [good, expired, expelled, revoked] = [
    inviter('11', now + dayMs),
    inviter('12', now - dayMs),
    inviter('13', now + dayMs),
    inviter('14', now + dayMs),
  ];
  gate.revoke(signRevocation(`host:${expelled.passport.peer}`, now, signer));
  gate.revoke(signRevocation('token:14', now, signer));
  const stranger = newPeer();
  assert.match(farewell(gate, stranger, signRevocation(`host:${member}`, now, signer)), /about another/);
  assert.match(farewell(gate, member, signRevocation('token:11', now, signer)), /about another/);
  const aboutMe = (by: Parameters<typeof signRevocation>[2]): ReturnType<typeof signRevocation> => signRevocation(`host:${self}`, now, by);
  assert.equal(farewell(gate, stranger, aboutMe(signer)), 'believed');
  assert.equal(farewell(gate, stranger, aboutMe(good)), 'believed');
  assert.match(farewell(gate, stranger, aboutMe(expired)), /expired/);
  assert.match(farewell(gate, stranger, aboutMe(expelled)), /was revoked/);
  assert.match(farewell(gate, stranger, aboutMe(revoked)), /was revoked/);
  // A member may know since when its issuer is no good, and this host was away.
  for (const issuer of [expired, expelled, revoked]) assert.equal(farewell(gate, member, aboutMe(issuer)), 'believed');
});
