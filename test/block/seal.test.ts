import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';

import * as fc from 'fast-check';

import {
  type Address,
  bareBody,
  immutableAddress,
  mutableAddress,
  ownerOf,
  type OwnerTag,
  Sealer,
  sealOverheadBytes,
} from '../../src/block/index.ts';
import { InfinitError } from '../../src/base/index.ts';

const owner: fc.Arbitrary<OwnerTag> = fc.record({
  volume: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  inode: fc.maxSafeNat(),
  epoch: fc.nat(0xffffffff),
  session: fc.nat(0xffffffff),
  sequence: fc.maxSafeNat(),
});
const body = fc.uint8Array({ maxLength: 300 });
const key = new Uint8Array(32).fill(9);
const sealers = {
  plain: new Sealer(),
  secret: new Sealer(key),
  compressing: new Sealer(undefined, true),
  secretAndCompressing: new Sealer(key, true),
};
const someone: OwnerTag = { volume: new Uint8Array(16).fill(3), inode: 2 ** 53 - 1, epoch: 4, session: 5, sequence: 6 };

function plainOwner(tag: OwnerTag): OwnerTag {
  return { ...tag, volume: Uint8Array.from(tag.volume) };
}

function refused(work: () => unknown, codes: readonly string[]): boolean {
  try {
    work();
    return false;
  } catch (error) {
    assert.ok(error instanceof InfinitError && codes.includes(error.code), String(error));
    return true;
  }
}

for (const [suite, sealer] of Object.entries(sealers)) {
  test(`${suite}: what was sealed opens to the same body and owner`, () => {
    fc.assert(
      fc.property(owner, body, (tag, bytes) => {
        const { address, sealed } = sealer.seal(tag, bytes);
        assert.equal(address, immutableAddress(sealed));
        assert.ok(sealed.length <= bytes.length + sealOverheadBytes);
        const open = sealer.open(address, sealed);
        assert.deepEqual([plainOwner(open.owner), Uint8Array.from(open.body)], [plainOwner(tag), bytes]);
        assert.deepEqual(plainOwner(ownerOf(sealed)), plainOwner(tag));
        const mutable = mutableAddress();
        const payload = sealer.sealPayload(mutable, tag, bytes);
        assert.deepEqual(Uint8Array.from(sealer.openPayload(mutable, payload).body), bytes);
      }),
    );
  });

  test(`${suite}: a changed bit in any byte, a cut and an addition are detected`, () => {
    const bytes = Buffer.from('some words that matter');
    const { address, sealed } = sealer.seal(someone, bytes);
    for (let at = 0; at < sealed.length; at++) {
      for (const bit of [1, 128]) {
        const changed = Uint8Array.from(sealed);
        changed[at]! ^= bit;
        assert.ok(
          refused(() => sealer.open(address, changed), ['damaged']),
          `byte ${at}`,
        );
      }
    }
    for (let length = 0; length < sealed.length; length++) assert.ok(refused(() => sealer.open(address, sealed.subarray(0, length)), ['damaged']));
    assert.ok(refused(() => sealer.open(address, Buffer.concat([sealed, new Uint8Array(1)])), ['damaged']));
  });

  test(`${suite}: a payload that is cut, longer, or of another version is refused`, () => {
    const address = mutableAddress();
    const payload = sealer.sealPayload(address, someone, Buffer.from('payload'));
    for (let length = 0; length < payload.length; length++)
      assert.ok(
        refused(() => sealer.openPayload(address, payload.subarray(0, length)), ['damaged']),
        `cut to ${length}`,
      );
    assert.ok(refused(() => sealer.openPayload(address, Buffer.concat([payload, new Uint8Array(1)])), ['damaged']));
    const later = Uint8Array.from(payload);
    later[0] = 2;
    assert.ok(refused(() => sealer.openPayload(address, later), ['wrong-version']));
    // A suite or a compression that this release does not know must not pass for what it does know.
    for (const [at, value] of [
      [1, 2],
      [2, 2],
      [3, 1],
    ] as const) {
      const unknown = Uint8Array.from(payload);
      unknown[at] = value;
      assert.ok(refused(() => sealer.openPayload(address, unknown), ['wrong-version']));
    }
  });

  test(`${suite}: sealing does not touch the body, nor does opening the sealed bytes`, () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, at) => at);
    const { address, sealed } = sealer.seal(someone, bytes);
    const before = Uint8Array.from(sealed);
    sealer.open(address, sealed);
    assert.deepEqual(Uint8Array.from(sealed), before);
    assert.deepEqual(
      bytes,
      Uint8Array.from({ length: 100 }, (_, at) => at),
    );
  });
}

test('a block that shrinks is kept small and opens whichever way the sealer is set; one that does not stays as it is', () => {
  const text = Buffer.from('the same words again and again, '.repeat(400));
  for (const volumeKey of [undefined, key]) {
    const { address, sealed } = new Sealer(volumeKey, true).seal(someone, text);
    assert.ok(sealed.length < text.length / 10);
    assert.ok(text.equals(new Sealer(volumeKey).open(address, sealed).body));
    const noise = randomBytes(text.length);
    const kept = new Sealer(volumeKey, true).seal(someone, noise);
    assert.equal(kept.sealed.length, new Sealer(volumeKey).seal(someone, noise).sealed.length);
    assert.ok(noise.equals(new Sealer(volumeKey, true).open(kept.address, kept.sealed).body));
    assert.equal(bareBody(sealed), undefined);
    assert.equal(bareBody(kept.sealed)?.length, volumeKey === undefined ? noise.length : undefined);
  }
});

test('a compressed block that unpacks to another length than it says, or to none, is damaged; a bomb costs no memory', () => {
  const { sealed } = sealers.compressing.seal(someone, Buffer.alloc(1024 * 1024));
  assert.ok(sealed.length < 1000);
  for (const length of [500, 1024 * 1024 - 1, 1024 * 1024 + 1, 2 ** 32 - 1]) {
    const changed = Buffer.from(sealed);
    changed.writeUInt32LE(length, 4);
    assert.ok(
      refused(() => sealers.plain.open(immutableAddress(changed), changed), ['damaged']),
      `${length}`,
    );
  }
  const noise = Buffer.from(sealed);
  noise.fill(7, 48);
  assert.ok(refused(() => sealers.plain.open(immutableAddress(noise), noise), ['damaged']));
});

test('under a key, a forged payload is refused whichever bit of it was changed', () => {
  const address = mutableAddress();
  const payload = sealers.secret.sealPayload(address, someone, Buffer.from('the balance is 100'));
  for (let at = 0; at < payload.length; at++) {
    const changed = Uint8Array.from(payload);
    changed[at]! ^= 1;
    assert.ok(
      refused(() => sealers.secret.openPayload(address, changed), ['wrong-key', 'damaged', 'wrong-version']),
      `byte ${at}`,
    );
  }
});

test('under a key, a payload opens under its own address only', () => {
  const address = mutableAddress();
  const payload = sealers.secret.sealPayload(address, someone, Buffer.from('mine'));
  assert.ok(refused(() => sealers.secret.openPayload(mutableAddress(), payload), ['wrong-key']));
  // Nor does an immutable block pass for a payload, or the other way round.
  const { sealed } = sealers.secret.seal(someone, Buffer.from('mine'));
  assert.ok(refused(() => sealers.secret.openPayload(address, sealed), ['wrong-key']));
  assert.ok(refused(() => sealers.secret.open(immutableAddress(payload), payload), ['wrong-key']));
});

test('neither another key, nor none, opens a block; a plain block in an encrypted volume is a forgery', () => {
  const secret = sealers.secret.seal(someone, Buffer.from('body'));
  assert.ok(refused(() => new Sealer(new Uint8Array(32)).open(secret.address, secret.sealed), ['wrong-key']));
  assert.ok(refused(() => sealers.plain.open(secret.address, secret.sealed), ['wrong-key']));
  const plain = sealers.plain.seal(someone, Buffer.from('body'));
  assert.ok(refused(() => sealers.secret.open(plain.address, plain.sealed), ['wrong-key']));
  assert.throws(() => new Sealer(new Uint8Array(16)), { code: 'bad-argument' });
});

test('the body of an encrypted block is nowhere in its sealed bytes, and equal bodies do not look equal', () => {
  const bytes = Buffer.alloc(64, 'secret words ');
  const one = sealers.secret.seal(someone, bytes);
  const two = sealers.secret.seal({ ...someone, sequence: 7 }, bytes);
  assert.equal(Buffer.from(one.sealed).indexOf('secret'), -1);
  assert.notEqual(one.address, two.address);
  assert.ok(!Buffer.from(one.sealed.subarray(60)).equals(two.sealed.subarray(60)));
});

test('no bytes from outside make opening do anything but answer or refuse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (noise, versioned) => {
      if (versioned && noise.length > 4) noise.set([1, noise[1]! % 3, noise[2]! % 2, 0]);
      const address: Address = immutableAddress(noise);
      for (const sealer of Object.values(sealers)) {
        try {
          sealer.open(address, noise);
          sealer.openPayload(address, noise);
        } catch (error) {
          assert.ok(error instanceof InfinitError, String(error));
        }
      }
      try {
        ownerOf(noise);
      } catch (error) {
        assert.ok(error instanceof InfinitError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test('the sealed form is the one that was written down', () => {
  const { sealed } = sealers.plain.seal(
    { volume: Buffer.from('0123456789abcdef'), inode: 0x1_0000_0002, epoch: 3, session: 4, sequence: 5 },
    Buffer.from('body'),
  );
  assert.equal(
    Buffer.from(sealed).toString('hex'),
    [
      '01000000',
      '04000000',
      Buffer.from('0123456789abcdef').toString('hex'),
      '0200000001000000',
      '03000000',
      '04000000',
      '0500000000000000',
      '626f6479',
    ].join(''),
  );
});

test('an inode’s key is what HKDF-SHA-256 derives from the volume’s, as the format says', () => {
  const { sealed } = sealers.secret.seal(someone, Buffer.from('words'));
  const derived = new Uint8Array(hkdfSync('sha256', key, '', `infinit inode ${someone.inode}`, 32));
  const bytes = Buffer.from(sealed);
  const decipher = createDecipheriv('aes-256-gcm', derived, bytes.subarray(48, 60));
  decipher.setAAD(bytes.subarray(0, 48));
  decipher.setAuthTag(bytes.subarray(-16));
  assert.equal(Buffer.concat([decipher.update(bytes.subarray(60, -16)), decipher.final()]).toString(), 'words');
});

test('a large immutable block lies in memory that threads share, the payload of a mutable one in memory that V8 counts', () => {
  for (const sealer of Object.values(sealers)) {
    const bytes = randomBytes(60 * 1024);
    assert.ok(sealer.seal(someone, bytes).sealed.buffer instanceof SharedArrayBuffer);
    assert.ok(sealer.sealPayload(mutableAddress(), someone, bytes).buffer instanceof ArrayBuffer);
  }
});
