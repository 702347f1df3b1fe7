import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FileSystemError } from '../../src/filesystem/index.ts';
import * as wire from '../../src/fuse/wire/index.ts';

const decoders: readonly ((message: wire.Message) => unknown)[] = [
  wire.decodeHeader,
  wire.decodeInit,
  wire.decodeForget,
  wire.decodeForgets,
  wire.decodeSetattr,
  wire.decodeSymlink,
  wire.decodeMknod,
  wire.decodeMkdir,
  (message) => wire.decodeRename(message, false),
  (message) => wire.decodeRename(message, true),
  wire.decodeLink,
  wire.decodeOpen,
  wire.decodeCreate,
  wire.decodeRead,
  wire.decodeWrite,
  wire.decodeRelease,
  wire.decodeFlush,
  wire.decodeFsync,
  (message) => wire.decodeSetxattr(message, true),
  (message) => wire.decodeSetxattr(message, false),
  (message) => wire.decodeGetxattr(message, true),
  wire.decodeLock,
  wire.decodeInterrupt,
  wire.decodeFallocate,
  wire.decodeLseek,
  wire.decodeCopy,
];

test('a decoder either understands the bytes or answers with an errno, and never reads past the message', () => {
  const message = new wire.Message(4096);
  const bytes = fc.uint8Array({ minLength: 0, maxLength: 300 });
  fc.assert(
    fc.property(bytes, fc.nat(decoders.length - 1), (body, index) => {
      // What an earlier request left behind must not be taken for part of this one.
      message.bytes.fill(0x41);
      message.bytes.set(body);
      message.length = body.length;
      try {
        const decoded = decoders[index]!(message) as { name?: string; data?: Uint8Array } | undefined;
        if (typeof decoded?.name === 'string') assert.ok(decoded.name.length < body.length);
        if (decoded?.data !== undefined) assert.ok(decoded.data.length <= body.length - 80);
      } catch (error) {
        assert.ok(error instanceof FileSystemError, String(error));
        assert.ok(error.errno === 'EINVAL' || error.errno === 'ENAMETOOLONG');
      }
    }),
    { numRuns: 20_000 },
  );
});

test('64-bit fields come back as they were put', () => {
  const message = new wire.Message(64);
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      message.put64(4, value);
      assert.equal(message.i64(4), value);
      assert.equal(message.bytes.readBigInt64LE(16), BigInt(value));
      if (value >= 0) assert.equal(message.u64(4), value);
    }),
  );
});

test('times before 1970 and after 2106 survive', () => {
  const message = new wire.Message(200);
  message.length = 128;
  message.words[10] = 32;
  for (const seconds of [-1, -5_000_000_000, 0, 4_294_967_296, 253_402_300_799]) {
    message.bytes.writeBigInt64LE(BigInt(seconds), 80);
    message.words[25] = 999_999_999;
    assert.deepEqual(wire.decodeSetattr(message).modified, { seconds, nanoseconds: 999_999_999 });
  }
});

test('a lock owner is the whole 64-bit value in hex', () => {
  const message = new wire.Message(64);
  message.bytes.writeBigUInt64LE(0x0123_4567_89ab_cdefn, 16);
  assert.equal(message.hex64(4), '0123456789abcdef');
});

test('directory entries fill the reply to the limit and give back the rest', () => {
  const reply = new wire.Reply(wire.validity(1, 1, 1));
  const entries = Array.from({ length: 100 }, (_, index) => ({
    name: 'n'.repeat(1 + (index % 20)),
    inode: index + 2,
    type: 0o100000,
    cookie: index + 1,
  }));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5000 }), (limit) => {
      const left: number[] = [];
      reply.bytes.fill(0xff);
      const length = reply.putEntries(entries, limit, false, (entry) => left.push(entry.cookie));
      assert.ok(length <= limit);
      let seen = 0;
      for (let at = 16; at < 16 + length; seen++) {
        const name = entries[seen]!.name;
        assert.equal(reply.bytes.readBigUInt64LE(at + 8), BigInt(seen + 1));
        assert.equal(reply.bytes.toString('latin1', at + 24, at + 24 + reply.bytes.readUInt32LE(at + 16)), name);
        const end = at + ((24 + name.length + 7) & ~7);
        assert.ok(reply.bytes.subarray(at + 24 + name.length, end).every((byte) => byte === 0));
        at = end;
      }
      assert.equal(seen + left.length, entries.length);
    }),
  );
});

test('a kernel older than Linux 5.12 is not accepted, a newer one gets the flags it offered', () => {
  const all = { flags: 0xffff_ffff, flags2: 0xffff_ffff };
  const [leased, alone] = [
    { leased: true, outlivesDaemon: true },
    { leased: false, outlivesDaemon: true },
  ];
  assert.equal(wire.negotiate({ major: 7, minor: 32, ...all }, leased), undefined);
  const init = wire.negotiate({ major: 7, minor: 33, flags: 1 << 1, flags2: 0xffff_ffff }, leased)!;
  assert.equal(init.flags, 1 << 1);
  assert.equal(wire.hasResend(init), false, 'without INIT_EXT the second word means nothing');
  assert.equal(
    wire.negotiate({ major: 7, minor: 33, flags: 1 << 1, flags2: 0 }, alone),
    undefined,
    'every kernel of this age can open files by itself',
  );
  const parallelDirectoryOperations = 1 << 18;
  for (const options of [leased, alone]) {
    const agreed = wire.negotiate({ major: 7, minor: 45, ...all }, options)!;
    assert.notEqual(agreed.flags & parallelDirectoryOperations, 0);
    const reply = new wire.Reply(wire.validity(0, 0, 0));
    assert.equal(wire.putInit(reply, agreed, 131_072), 64);
    const [maxWrite, maxPages] = [reply.bytes.readUInt32LE(16 + 20), reply.bytes.readUInt16LE(16 + 28)];
    assert.deepEqual([maxWrite, maxPages * 4096], [1_048_576, 1_048_576], 'requests of 1 MiB');
  }
  for (const outlivesDaemon of [true, false])
    assert.equal(wire.hasResend(wire.negotiate({ major: 7, minor: 45, ...all }, { leased: false, outlivesDaemon })!), outlivesDaemon);
});

test('a kernel that alone uses the files opens, locks and caches them itself; else it drops what another host may have changed', () => {
  const [posixLocks, flockLocks, automatic, writeback, noOpen, noOpendir, explicit] = [1 << 1, 1 << 10, 1 << 12, 1 << 16, 1 << 17, 1 << 24, 1 << 25];
  const among = posixLocks | flockLocks | automatic | writeback | noOpen | noOpendir | explicit;
  const agreed = (leased: boolean): wire.SavedInit =>
    wire.negotiate({ major: 7, minor: 45, flags: 0xffff_ffff, flags2: 0 }, { leased, outlivesDaemon: true })!;
  assert.equal(agreed(false).flags & among, writeback | noOpen | noOpendir | explicit);
  assert.equal(agreed(true).flags & among, posixLocks | flockLocks | automatic);
  assert.deepEqual([wire.isSole(agreed(false)), wire.isSole(agreed(true))], [true, false]);
});
