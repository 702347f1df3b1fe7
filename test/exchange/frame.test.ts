import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { codeOf, errorCodes, type ErrorCode, InfinitError } from '../../src/base/index.ts';
import {
  decodeError,
  encodeError,
  FrameDecoder,
  frameType,
  headerBytes,
  type IncomingFrame,
  outgoing,
  writeHeader,
} from '../../src/exchange/index.ts';
import { decodeHello, encodeHello } from '../../src/overlay/hello.ts';

const frames = fc.record({
  type: fc.constantFrom(...Object.values(frameType)),
  kind: fc.integer({ min: 0, max: 0xffff }),
  id: fc.integer({ min: 0, max: 0xffff_ffff }),
  deadlineMs: fc.integer({ min: 0, max: 0xffff_ffff }),
  body: fc.uint8Array({ maxLength: 300 }),
});

function encode(frame: Omit<IncomingFrame, 'type'> & { readonly type: (typeof frameType)[keyof typeof frameType] }): Buffer {
  const header = Buffer.alloc(headerBytes);
  writeHeader(header, 0, outgoing(frame.type, frame.kind, frame.id, frame.deadlineMs, [frame.body]));
  return Buffer.concat([header, frame.body]);
}

function decode(chunks: readonly Uint8Array[], maxBody?: number): IncomingFrame[] {
  const seen: IncomingFrame[] = [];
  const decoder = new FrameDecoder(({ own: _own, ...frame }) => seen.push({ ...frame, body: Uint8Array.from(frame.body) }), maxBody);
  for (const chunk of chunks) decoder.push(chunk);
  return seen;
}

test('frames come out as they went in, however the stream is cut into chunks', () => {
  fc.assert(
    fc.property(fc.array(frames, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1, maxLength: 20 }), (wanted, cuts) => {
      const stream = Buffer.concat(wanted.map(encode));
      const chunks: Uint8Array[] = [];
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const size = cuts[turn % cuts.length]!;
        chunks.push(stream.subarray(at, at + size));
        at += size;
      }
      assert.deepEqual(
        decode(chunks),
        wanted.map((frame) => ({ ...frame })),
      );
    }),
  );
});

test('a frame within one chunk is handed on without a copy', () => {
  const bytes = encode({ type: frameType.notify, kind: 1, id: 0, deadlineMs: 0, body: Buffer.alloc(1000, 7) });
  const decoder = new FrameDecoder((frame) => assert.equal(frame.body.buffer, bytes.buffer));
  decoder.push(bytes);
});

test('what is lent may be overwritten afterwards: small frames are copied, and large ones gathered', () => {
  const wanted = [10, 1000, 40_000, 1, 5000].map((length, index) => Buffer.alloc(length, index + 1));
  const stream = Buffer.concat(wanted.map((body, id) => encode({ type: frameType.notify, kind: 1, id, deadlineMs: 0, body })));
  for (const size of [3, 700, 16_384, stream.length]) {
    const seen: IncomingFrame[] = [];
    const decoder = new FrameDecoder((frame) => seen.push(frame));
    const lent = Buffer.alloc(size);
    for (let at = 0; at < stream.length; at += size) {
      decoder.push(lent.subarray(0, stream.copy(lent, 0, at, at + size)), true);
      lent.fill(0xff);
    }
    assert.deepEqual(
      seen.map(({ body }) => Buffer.from(body)),
      wanted,
    );
  }
});

test('header fields of a later minor version are skipped', () => {
  const body = Buffer.from('body');
  const later = Buffer.alloc(24);
  later.writeUInt32LE(20 + body.length, 0);
  later[4] = frameType.request;
  later[5] = 24;
  later.writeUInt16LE(77, 6);
  later.writeUInt32LE(5, 8);
  later.fill(0xff, 16);
  const [frame] = decode([Buffer.concat([later, body])]);
  assert.equal(Buffer.from(frame!.body).toString(), 'body');
  assert.equal(frame!.kind, 77);
});

test('random bytes never do more than one error, and never make it allocate what they claim', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        decode([bytes], 1000);
      } catch (error) {
        assert.equal(codeOf(error), 'bad-argument');
      }
    }),
  );
  assert.throws(() => decode([Buffer.from([0xff, 0xff, 0xff, 0x7f])]), { code: 'bad-argument' });
});

test('every error code crosses the wire; one of a later version means that nothing is known', () => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    const error = decodeError(encodeError(code, 'because: ä'));
    assert.deepEqual([error.code, error.message], [code, 'because: ä']);
  }
  assert.equal(decodeError(Buffer.from('some-new-code\0why')).code, 'unknown-outcome');
  assert.equal(decodeError(new Uint8Array(0)).code, 'unknown-outcome');
});

test('a hello says who speaks; another major version is refused by name, a later minor one is welcome', () => {
  const hello = {
    channel: 'bulk',
    session: '0123456789abcdef',
    process: { incarnation: 12, nonce: 'fedcba9876543210' },
    wallMs: 1_700_000_000_123,
  } as const;
  const bytes = encodeHello(hello);
  assert.deepEqual(decodeHello(bytes), { ...hello, minor: 0 });
  const later = Buffer.concat([bytes, Buffer.from('more fields')]);
  later[5] = 9;
  assert.deepEqual(decodeHello(later), { ...hello, minor: 9 });
  const other = Buffer.from(bytes);
  other[4] = 3;
  assert.throws(() => decodeHello(other), { code: 'wrong-version', message: /speaks wire version 3\.0, this host 2\.0/ });
  assert.throws(() => decodeHello(Buffer.from('GET / HTTP/1.1')), InfinitError);
});
