import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';

import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import * as fc from 'fast-check';

import { codeOf, systemRandom } from '../../src/base/index.ts';
import {
  createToken,
  KeyPair,
  type Passport,
  passportFromCluster,
  passportFromToken,
  peerIdOf,
  publicKeyOf,
  readPassport,
  readRecord,
  readRevocation,
  readToken,
  type Right,
  signRecord,
  signRevocation,
} from '../../src/overlay/identity/index.ts';

const key = (): KeyPair => new KeyPair(systemRandom.bytes(32));
const peerOf = ({ publicKey }: KeyPair): string => peerIdOf(publicKey);
const hour = 3_600_000;
const now = 1_800_000_000_000;

const cluster = key();
const first = key();
const firstPassport = passportFromCluster(cluster, peerOf(first), now);

function tokenOf(rights: readonly Right[], signer: { readonly key: KeyPair; readonly passport?: Passport } = { key: cluster }): string {
  return createToken({ id: 'a1', rights, expiresMs: now + hour, uses: 3 }, systemRandom.bytes(32), { cluster: cluster.publicKey, ...signer });
}

test("a peer id is libp2p's, and gives the public key back", () => {
  for (let round = 0; round < 20; round++) {
    const pair = key();
    const theirs = peerIdFromPrivateKey(privateKeyFromRaw(Buffer.concat([pair.seed, pair.publicKey]))).toString();
    assert.equal(peerOf(pair), theirs);
    assert.deepEqual(Buffer.from(publicKeyOf(theirs)), Buffer.from(pair.publicKey));
  }
  for (const wrong of ['', 'nobody', 'Qm'.repeat(30), `${peerOf(first)}1`, peerOf(first).slice(0, -1)])
    assert.throws(() => publicKeyOf(wrong), { code: 'bad-argument' });
});

test("a passport made from a token is verified with nothing but the cluster's public key", () => {
  const host = key();
  const passport = passportFromToken(readToken(tokenOf(['store', 'write'])), peerOf(host), now);
  const read = readPassport(passport.text, cluster.publicKey);
  assert.equal(read.peer, peerOf(host));
  assert.deepEqual(read.rights, ['store', 'write']);
  assert.throws(() => readPassport(passport.text, key().publicKey), { code: 'denied' });
});

test('a host with the right to invite can invite; the rights only shrink along the chain', () => {
  const inviter = key();
  const inviterPassport = passportFromToken(readToken(tokenOf(['write', 'invite'])), peerOf(inviter), now);
  const signer = { key: inviter, passport: inviterPassport };
  const guest = passportFromToken(readToken(tokenOf(['write'], signer)), peerOf(key()), now);
  assert.deepEqual(readPassport(guest.text, cluster.publicKey).rights, ['write']);
  assert.throws(() => tokenOf(['store'], signer), { code: 'denied' });
  assert.throws(() => tokenOf(['write'], { key: key(), passport: guest }), { code: 'denied' });
});

test('a chain that is too long is refused', () => {
  let signer: { key: KeyPair; passport?: Passport } = { key: cluster };
  assert.throws(
    () => {
      for (let link = 0; link < 8; link++) {
        const host = key();
        signer = { key: host, passport: passportFromToken(readToken(tokenOf(['invite'], signer)), peerOf(host), now) };
      }
    },
    (error) => ['denied', 'bad-argument'].includes(codeOf(error)),
  );
});

/** What a signed text says, whatever the spare bits of its base64. */
function bytes(text: string): string {
  return text
    .split('.')
    .map((part) => Buffer.from(part, 'base64url').toString('hex'))
    .join('.');
}

test('a passport, record or revocation with any one character changed is refused', () => {
  const host = key();
  const passport = passportFromToken(readToken(tokenOf(['store'])), peerOf(host), now).text;
  const record = signRecord(
    { name: 'a', zone: 'z', capacity: 1, addresses: ['10.0.0.1:7470'], state: 'up', incarnation: 1, nonce: '00', sequence: 1 },
    host,
  );
  const revocation = signRevocation(`host:${peerOf(host)}`, now, { key: cluster, cluster: cluster.publicKey }).text;
  const readers = [
    [passport, (text: string) => readPassport(text, cluster.publicKey)],
    [record, readRecord],
    [revocation, (text: string) => readRevocation(text, cluster.publicKey)],
  ] as const;
  for (const [text, read] of readers) {
    read(text);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('A', 'x', '0', '_'), (at, character) => {
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        // The last character of base64 has bits that mean nothing.
        if (bytes(changed) === bytes(text)) return;
        assert.throws(
          () => read(changed),
          (error) => ['denied', 'bad-argument'].includes(codeOf(error)),
        );
      }),
      { numRuns: 100 },
    );
  }
});

test('what was signed for one purpose is not good for another', () => {
  const revocation = signRevocation(`host:${peerOf(first)}`, now, { key: cluster, cluster: cluster.publicKey });
  assert.throws(() => readPassport(revocation.text, cluster.publicKey));
  assert.throws(() => readRevocation(firstPassport.text, cluster.publicKey));
});

test('a host without the right to invite can revoke nobody', () => {
  const guest = key();
  const passport = passportFromToken(readToken(tokenOf(['write'])), peerOf(guest), now);
  assert.throws(() => signRevocation(`host:${peerOf(first)}`, now, { key: guest, cluster: cluster.publicKey, passport }), { code: 'denied' });
  assert.throws(() => signRevocation(`host:${peerOf(first)}`, now, { key: guest, cluster: cluster.publicKey }), { code: 'denied' });
});

test('a bad token is refused without being repeated, a good one survives white space', () => {
  const token = tokenOf(['store']);
  readToken(`  ${token}\n`);
  for (const wrong of [
    '',
    'hunter2',
    token.slice(0, -20),
    `${token.slice(0, 60)}XX${token.slice(62)}`,
    'x'.repeat(100_000),
    `infinit-token-1.${Buffer.from('{}').toString('base64url')}`,
  ]) {
    assert.throws(
      () => readToken(wrong),
      (error: Error) => codeOf(error) === 'bad-argument' && (wrong.length < 4 || !error.message.includes(wrong.slice(0, 40))),
    );
  }
});

test('a key pair does not show its secret when it is printed', () => {
  const secret = Buffer.from(first.seed).toString('hex');
  for (const shown of [JSON.stringify({ first }), inspect(first)]) {
    assert.ok(!shown.includes(secret) && !shown.includes(Buffer.from(first.seed).toString('base64url')), shown);
    assert.ok(!/seed/.test(shown), shown);
  }
});
