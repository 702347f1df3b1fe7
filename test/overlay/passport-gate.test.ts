import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemRandom } from '../../src/base/index.ts';
import {
  allRights,
  createToken,
  grantMs,
  KeyPair,
  type Passport,
  passportFromCluster,
  passportFromToken,
  readToken,
  type Right,
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

test('a member raises its rights neither with a token that expired, was revoked or used up, nor by telling of such a passport itself', () => {
  const gate = gateOf(false);
  const newToken = (id: string, rights: readonly Right[], expiresMs = now + dayMs): Token =>
    readToken(createToken({ id, rights, expiresMs, uses: 1 }, systemRandom.bytes(32), signer));
  const [member, another, inviter] = [newPeer(), newPeer(), newPeer()];
  const first = passportFromToken(newToken('21', ['store']), member, now - dayMs);
  gate.admit(member, Buffer.from(first.text));
  gate.admit(another, Buffer.from(passportFromToken(newToken('22', ['store']), another, now).text));
  gate.admit(inviter, Buffer.from(passportFromCluster(clusterKey, inviter, now).text));
  const [expired, revoked, usedUp] = [newToken('23', allRights, now - 1), newToken('24', allRights), newToken('25', allRights)];
  gate.revoke(signRevocation('token:24', now, signer));
  const user = newPeer();
  gate.admit(user, Buffer.from(passportFromToken(usedUp, user, now).text));
  for (const bad of [expired, revoked, usedUp]) {
    const { text } = passportFromToken(bad, member, now - 2);
    gate.admit(member, Buffer.from(text));
    gate.vouch(member, text, member);
    gate.vouch(member, text, another);
    assert.equal(gate.passportOf(member)!.text, first.text, bad.invitation.id);
  }
  // Who may invite could give as much, and says what this host has missed.
  const missed = passportFromToken(expired, member, now - 2);
  gate.vouch(member, missed.text, inviter);
  assert.deepEqual(gate.rightsOf(member), allRights);
  // A token that is good raises the rights, once and again.
  const good = Buffer.from(passportFromToken(newToken('26', allRights), another, now).text);
  for (let time = 0; time < 2; time++) gate.admit(another, good);
  assert.deepEqual(gate.rightsOf(another), allRights);
});

test('a member whose passport expired comes back with more rights only with a token that is good', () => {
  let wallMs = now;
  const self = newPeer();
  const gate = new PassportGate(self, { monotonicMs: () => now, wallMs: () => wallMs });
  gate.setOwn(passportFromCluster(clusterKey, self, now));
  const member = newPeer();
  const passport = (id: string, rights: readonly Right[], expiresMs: number): Buffer => {
    const terms = { id, rights, expiresMs, uses: 1, passportMs: dayMs };
    return Buffer.from(passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), signer)), member, wallMs).text);
  };
  gate.admit(member, passport('31', ['store'], now + dayMs));
  const tooLate = passport('32', allRights, now + 1);
  wallMs += dayMs;
  assert.equal(gate.standing(member), 'unknown');
  assert.throws(() => gate.admit(member, passport('33', allRights, now + 1)), { code: 'denied', message: /the token of host \w+ expired on/ });
  assert.throws(() => gate.admit(member, tooLate), { code: 'denied' });
  gate.admit(member, passport('34', allRights, wallMs + 1));
  assert.deepEqual(gate.rightsOf(member), allRights);
});

test('a passport for a time is not renewed with the token that it came of, once that has ended', () => {
  let wallMs = now;
  const self = newPeer();
  const gate = new PassportGate(self, { monotonicMs: () => now, wallMs: () => wallMs });
  gate.setOwn(passportFromCluster(clusterKey, self, now));
  const terms = { id: '41', rights: ['store'], expiresMs: now + dayMs, uses: 1, passportMs: dayMs } as const;
  const host = readToken(createToken(terms, systemRandom.bytes(32), signer));
  const member = newPeer();
  const made = (issuedMs: number): string => passportFromToken(host, member, issuedMs).text;
  gate.admit(member, Buffer.from(made(now)));
  wallMs += 2 * dayMs;
  // Neither now, nor said to have been made in time, nor much later.
  for (const issuedMs of [wallMs, now + dayMs, now + dayMs - 1, wallMs + 365 * dayMs]) {
    assert.throws(() => gate.admit(member, Buffer.from(made(issuedMs))), { code: 'denied', message: /expired on/ });
    assert.throws(() => gate.vouch(member, made(issuedMs)), { code: 'denied', message: /expired on/ });
  }
  assert.equal(gate.standing(member), 'unknown');
});

test('an inviter whose own passport has expired lets nobody in any longer', () => {
  let wallMs = now;
  const self = newPeer();
  const gate = new PassportGate(self, { monotonicMs: () => now, wallMs: () => wallMs });
  gate.setOwn(passportFromCluster(clusterKey, self, now));
  const key = new KeyPair(systemRandom.bytes(32));
  const terms = { id: '51', rights: ['store', 'invite'], expiresMs: now + dayMs, uses: 1, passportMs: dayMs } as const;
  const passport = passportFromToken(readToken(createToken(terms, systemRandom.bytes(32), signer)), peerIdOf(key.publicKey), now);
  const invite = (id: string): Token =>
    readToken(createToken({ id, rights: ['store'], expiresMs: wallMs + dayMs, uses: 1 }, systemRandom.bytes(32), { ...signer, key, passport }));
  const [early, late] = [newPeer(), newPeer()];
  gate.admit(early, Buffer.from(passportFromToken(invite('52'), early, wallMs).text));
  wallMs += dayMs;
  assert.throws(() => gate.admit(late, Buffer.from(passportFromToken(invite('53'), late, wallMs).text)), {
    code: 'denied',
    message: /the token of host \w+ is of host \w+, whose own passport expired on/,
  });
  // Whom it let in before stays.
  assert.equal(gate.standing(early), 'member');
});

test('a member that may not invite lets in, by telling of it, no host that may with a token that is used up or revoked', () => {
  const gate = gateOf(false);
  const [member, inviter] = [newPeer(), newPeer()];
  gate.admit(member, Buffer.from(passportFromToken(token('61', now + dayMs), member, now).text));
  gate.admit(inviter, Buffer.from(passportFromCluster(clusterKey, inviter, now).text));
  const terms = { id: '62', rights: allRights, expiresMs: now + dayMs, uses: 1 } as const;
  const usedUp = readToken(createToken(terms, systemRandom.bytes(32), signer));
  const first = newPeer();
  gate.vouch(first, passportFromToken(usedUp, first, now).text, member);
  assert.deepEqual(gate.rightsOf(first), allRights);
  const second = newPeer();
  const { text } = passportFromToken(usedUp, second, now);
  for (const from of [member, second]) assert.throws(() => gate.vouch(second, text, from), { code: 'denied', message: /which has joined already/ });
  assert.equal(gate.standing(second), 'unknown');
  const revoked = readToken(createToken({ ...terms, id: '63' }, systemRandom.bytes(32), signer));
  gate.revoke(signRevocation('token:63', now, signer));
  const third = newPeer();
  assert.throws(() => gate.vouch(third, passportFromToken(revoked, third, now).text, member), { code: 'denied', message: /was revoked/ });
  // A split of the cluster may have let in one too many, whose rights its inviters could give.
  gate.vouch(second, text, inviter);
  assert.equal(gate.standing(second), 'member');
});

test('the holder of a token for ever so many hosts does not fill the memory of those that it asks to let them in', () => {
  const self = newPeer();
  const gate = new PassportGate(self, { monotonicMs: () => now, wallMs: () => now }, () => false, 10);
  gate.setOwn(passportFromCluster(clusterKey, self, now));
  const many = readToken(createToken({ id: '71', rights: ['store'], expiresMs: now + dayMs, uses: 1_000_000 }, systemRandom.bytes(32), signer));
  const passports = Array.from({ length: 10 }, () => passportFromToken(many, newPeer(), now));
  for (const passport of passports.slice(0, 9)) gate.admit(passport.peer, Buffer.from(passport.text));
  const last = passports[9]!;
  assert.throws(() => gate.admit(last.peer, Buffer.from(last.text)), { code: 'overloaded' });
  assert.equal(gate.standing(last.peer), 'unknown');
  // Who is in stays, and shows what it has.
  gate.admit(passports[0]!.peer, Buffer.from(passports[0]!.text));
});

test('the holder of a token, who says when its passport was made, does not keep from being known as who used it', () => {
  const long = token('0a', now + 2 * grantMs);
  const peer = newPeer();
  const gate = gateOf(false);
  // As a grant's was in earlier versions: so long before the end of its invitation.
  gate.admit(peer, Buffer.from(passportFromToken(long, peer, now + grantMs).text));
  assert.deepEqual(gate.uses.tokensOf(peer), ['0a'], 'it is expelled together with its token');
});

test('what is granted to one member makes no passport of another', () => {
  const [peer, thief] = [newPeer(), newPeer()];
  const terms = { id: '0b', rights: allRights, expiresMs: now + grantMs, uses: 1, grantee: peer };
  const grant = readToken(createToken(terms, systemRandom.bytes(32), signer));
  const gate = gateOf(false);
  assert.equal(gate.vouch(peer, passportFromToken(grant, peer, now).text).rights, passportFromToken(grant, peer, now).rights);
  assert.deepEqual(gate.uses.tokensOf(peer), [], 'its secret was thrown away');
  assert.throws(() => passportFromToken(grant, thief, now), { code: 'denied' });
});
