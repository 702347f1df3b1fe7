import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { type Address, immutableAddress, mutableAddress, namedAddress } from '../../src/block/index.ts';
import type { Disk } from '../../src/disk/index.ts';

/** What the suite needs of an implementation. */
export interface DiskUnderTest {
  readonly name: string;
  /** An empty disk; with `capacityBytes`, one that holds about so much. */
  open(options?: { readonly capacityBytes?: number }): Promise<Disk>;
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof InfinitError && error.code === expected;
}

function bytes(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

/** Of every kind. */
function addresses(count: number): Address[] {
  const kinds = [mutableAddress, () => immutableAddress(randomBytes(16)), () => namedAddress('suite', randomBytes(16).toString('hex'))];
  return Array.from({ length: count }, (_, index) => kinds[index % kinds.length]!()).sort();
}

async function eventually(check: () => void): Promise<void> {
  for (let left = 100; ; left--) {
    try {
      return check();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** The contract of {@link Disk}, on any implementation. */
export function diskSuite(disk: DiskUnderTest): void {
  reading(disk);
  ordering(disk);
  metaFacts(disk);
  listing(disk);
  accounting(disk);
  limits(disk);
}

function reading({ name, open }: DiskUnderTest): void {
  test(`${name}: reads back what was written, of any size`, async () => {
    await using disk = await open();
    for (const size of [0, 1, 7, 8, 300, 4096, 16_384, 16_385, 65_536, 1_048_576, 4_194_304]) {
      const address = mutableAddress();
      await disk.write([{ type: 'put', address, bytes: bytes(size, size % 251) }]);
      assert.deepEqual(Uint8Array.from((await disk.read(address))!), bytes(size, size % 251));
      assert.equal(await disk.has(address), true);
    }
  });

  test(`${name}: a part of a value is those bytes`, async () => {
    await using disk = await open();
    const [short, long, none] = addresses(3);
    await disk.write([
      { type: 'put', address: short!, bytes: bytes(500, 1) },
      { type: 'put', address: long!, bytes: bytes(1_000_003, 2) },
    ]);
    for (const [address, whole, offset, length] of [
      [short!, bytes(500, 1), 10, 490],
      [long!, bytes(1_000_003, 2), 0, 1],
      [long!, bytes(1_000_003, 2), 16_383, 2],
      [long!, bytes(1_000_003, 2), 500_000, 300_000],
      [long!, bytes(1_000_003, 2), 1_000_000, 3],
    ] as const)
      assert.deepEqual(Uint8Array.from((await disk.readPart(address, offset, length))!), Uint8Array.from(whole.subarray(offset, offset + length)));
    await assert.rejects(disk.readPart(long!, 1_000_000, 4), { code: 'bad-argument' });
    assert.equal(await disk.readPart(none!, 0, 1), undefined);
  });

  test(`${name}: the head of a value is its first bytes, or all of a short one`, async () => {
    await using disk = await open();
    const [short, long, none] = addresses(3);
    await disk.write([
      { type: 'put', address: short!, bytes: bytes(5, 1) },
      { type: 'put', address: long!, bytes: bytes(100_000, 2) },
    ]);
    assert.deepEqual(Uint8Array.from((await disk.head(short!, 48))!), bytes(5, 1));
    assert.deepEqual(Uint8Array.from((await disk.head(long!, 48))!), bytes(48, 2));
    assert.equal(await disk.head(none!, 48), undefined);
  });

  test(`${name}: an address that was never written, or was deleted, has nothing`, async () => {
    await using disk = await open();
    const [address, other] = addresses(2);
    assert.equal(await disk.read(address!), undefined);
    assert.equal(await disk.has(address!), false);
    await disk.write([{ type: 'put', address: address!, bytes: bytes(10, 1) }]);
    await disk.write([{ type: 'delete', address: address! }]);
    assert.equal(await disk.read(address!), undefined);
    assert.equal(await disk.has(address!), false);
    await disk.write([{ type: 'delete', address: other! }]);
    assert.equal(await disk.read(other!), undefined);
  });

  test(`${name}: the result is the caller's own, and can be moved to another thread`, async () => {
    await using disk = await open();
    const address = mutableAddress();
    await disk.write([{ type: 'put', address, bytes: bytes(100, 1) }]);
    const first = (await disk.read(address))!;
    first.fill(9);
    const moved = structuredClone(first, { transfer: [first.buffer as ArrayBuffer] });
    assert.equal(moved.length, 100);
    assert.deepEqual(Uint8Array.from((await disk.read(address))!), bytes(100, 1));
  });

  test(`${name}: takes no more than addresses`, async () => {
    await using disk = await open();
    await assert.rejects(disk.write([{ type: 'put', address: 'x' as Address, bytes: bytes(1, 1) }]), code('bad-argument'));
    await assert.rejects(disk.read('../etc/passwd' as Address), code('bad-argument'));
  });
}

function ordering({ name, open }: DiskUnderTest): void {
  test(`${name}: operations of one call, and of concurrent calls, apply in order`, async () => {
    await using disk = await open();
    const [a, b] = addresses(2) as [Address, Address];
    await disk.write([
      { type: 'put', address: a, bytes: bytes(1, 1) },
      { type: 'delete', address: a },
      { type: 'put', address: a, bytes: bytes(1, 2) },
      { type: 'put', address: b, bytes: bytes(1, 1) },
      { type: 'delete', address: b },
    ]);
    assert.deepEqual([(await disk.read(a))?.[0], await disk.read(b)], [2, undefined]);
    await Promise.all(Array.from({ length: 500 }, (_, at) => disk.write([{ type: 'put', address: a, bytes: bytes(1 + (at % 50), at % 256) }])));
    assert.deepEqual(Uint8Array.from((await disk.read(a))!), bytes(1 + (499 % 50), 499 % 256));
  });

  test(`${name}: an empty call resolves`, async () => {
    await using disk = await open();
    await disk.write([]);
  });

  test(`${name}: a call of thousands of operations is written whole`, async () => {
    await using disk = await open();
    const many = addresses(5000);
    await disk.write(many.map((address, at) => ({ type: 'put', address, bytes: bytes(20, at % 256) })));
    for (const at of [0, 1023, 1024, 4999]) assert.equal((await disk.read(many[at]!))![0], at % 256);
  });
}

function metaFacts({ name, open }: DiskUnderTest): void {
  test(`${name}: keeps named facts apart from blocks`, async () => {
    await using disk = await open();
    const address = mutableAddress();
    await disk.write([
      { type: 'put-meta', key: 'identity', bytes: bytes(32, 5) },
      { type: 'put-meta', key: 'größe/x', bytes: bytes(0, 0) },
      { type: 'put', address, bytes: bytes(3, 3) },
    ]);
    assert.deepEqual(Uint8Array.from((await disk.readMeta('identity'))!), bytes(32, 5));
    assert.equal((await disk.readMeta('größe/x'))!.length, 0);
    assert.equal(await disk.readMeta('missing'), undefined);
    assert.deepEqual(await disk.list(undefined, 10), [{ address, size: 3 }]);
    await disk.write([{ type: 'delete-meta', key: 'identity' }]);
    assert.equal(await disk.readMeta('identity'), undefined);
  });

  test(`${name}: a meta key has 1 to 128 characters`, async () => {
    await using disk = await open();
    await disk.write([{ type: 'put-meta', key: 'k'.repeat(128), bytes: bytes(1, 1) }]);
    for (const key of ['', 'k'.repeat(129)]) {
      await assert.rejects(disk.write([{ type: 'put-meta', key, bytes: bytes(1, 1) }]), code('bad-argument'));
      await assert.rejects(disk.readMeta(key), code('bad-argument'));
    }
  });
}

function listing({ name, open }: DiskUnderTest): void {
  test(`${name}: lists addresses ascending, in pages, without the deleted ones`, async () => {
    await using disk = await open();
    const all = addresses(300);
    await disk.write(all.map((address, at) => ({ type: 'put', address, bytes: bytes(at, 1) })));
    await disk.write(all.filter((_, at) => at % 3 === 0).map((address) => ({ type: 'delete', address })));
    const expected = all.flatMap((address, at) => (at % 3 === 0 ? [] : [{ address, size: at }]));
    for (const limit of [1, 7, 100, 1000]) {
      const listed = [];
      let after: Address | undefined;
      for (;;) {
        const page = await disk.list(after, limit);
        assert.ok(page.length <= limit);
        listed.push(...page);
        if (page.length < limit) break;
        after = page.at(-1)!.address;
      }
      assert.deepEqual(listed, expected);
    }
  });
}

function accounting({ name, open }: DiskUnderTest): void {
  test(`${name}: status counts blocks and bytes`, async () => {
    await using disk = await open();
    const [a, b, c] = addresses(3) as [Address, Address, Address];
    await disk.write([
      { type: 'put', address: a, bytes: bytes(1000, 1) },
      { type: 'put', address: b, bytes: bytes(2000, 1) },
      { type: 'put', address: c, bytes: bytes(4000, 1) },
    ]);
    await disk.write([{ type: 'put', address: a, bytes: bytes(100, 2) }]);
    await disk.write([{ type: 'delete', address: c }]);
    await eventually(() => {
      const status = disk.status();
      assert.deepEqual([status.state, status.blocks, status.liveBytes, status.damaged], ['healthy', 2, 2100, 0]);
      assert.ok(status.usedBytes >= 2100 && status.freeBytes > 0 && status.totalBytes >= status.freeBytes);
    });
  });
}

function limits({ name, open }: DiskUnderTest): void {
  test(`${name}: a full disk refuses bulk data, still reads and deletes, and recovers`, { timeout: 60_000 }, async () => {
    await using disk = await open({ capacityBytes: 64 * 1024 * 1024 });
    const states: string[] = [];
    disk.onStateChange(({ state }) => void states.push(state));
    const written: Address[] = [];
    const put = async (): Promise<void> => {
      const sealed = bytes(1_048_576, written.length);
      const address = immutableAddress(Buffer.concat([sealed, Buffer.from(mutableAddress())]));
      await disk.write([{ type: 'put', address, bytes: sealed }]);
      written.push(address);
    };
    await assert.rejects(async () => {
      for (;;) await put();
    }, code('disk-full'));
    assert.equal(disk.status().state, 'read-only');
    assert.match(disk.status().reason!, /full/);
    assert.ok(written.length > 16, `${written.length} MiB of 64 were taken`);
    for (const [at, address] of written.entries()) assert.equal((await disk.read(address))![0], at);
    await disk.write(written.slice(0, -4).map((address) => ({ type: 'delete', address })));
    await eventually(() => assert.equal(disk.status().state, 'healthy'));
    await put();
    assert.deepEqual(states, ['read-only', 'healthy']);
    for (const address of written.slice(-4)) assert.equal((await disk.read(address))!.length, 1_048_576);
  });

  test(`${name}: a closed disk says so`, async () => {
    const disk = await open();
    await disk[Symbol.asyncDispose]();
    await disk[Symbol.asyncDispose]();
    await assert.rejects(disk.read(mutableAddress()), code('closed'));
    await assert.rejects(disk.write([{ type: 'delete', address: mutableAddress() }]), code('closed'));
  });
}
