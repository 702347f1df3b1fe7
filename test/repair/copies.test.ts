import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { type Address, immutableAddress } from '../../src/block/index.ts';
import { staticViews } from '../../src/membership/index.ts';
import { Roster } from '../../src/placement/index.ts';
import { CopyKeeper } from '../../src/repair/copy-keeper.ts';
import { Pace } from '../../src/repair/pace.ts';
import { noCounts } from '../../src/repair/counts.ts';
import { defaultRepairSettings } from '../../src/repair/settings.ts';
import { Standpoint } from '../../src/repair/standpoint.ts';
import type { Housekeeping } from '../../src/store/index.ts';

const signal = new AbortController().signal;
const address = immutableAddress(Buffer.from('block'));
const view = { number: 1, roster: Roster.of(['a', 'b', 'c'].map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: 3 };

const ownCopy: Housekeeping['own'] = () => Promise.resolve(Buffer.from('block'));

/** Host a, which moves one block to a, b and c. */
function moveBy(give: Housekeeping['give'], holders: string, own = ownCopy): Promise<Address[]> {
  const has = (peer: string): Promise<boolean[]> => Promise.resolve([holders.includes(peer)]);
  const keeper = new CopyKeeper(
    new Standpoint({
      self: 'a',
      housekeeping: { has, own, give } as never,
      transport: { isConnected: () => true } as never,
      views: staticViews(view),
      pace: new Pace(() => false, 1e9),
      settings: defaultRepairSettings,
    }),
  );
  return keeper.move([address], [view], 1, signal);
}

const full = (): Promise<never> => Promise.reject(new InfinitError('disk-full', 'no room'));
const late = (): Promise<never> => Promise.reject(new InfinitError('unknown-outcome', 'it did not answer'));

test('a block that was removed while it was to be moved is not waited for', async () => {
  assert.deepEqual(await moveBy(full, 'a', () => Promise.resolve(undefined)), []);
  assert.deepEqual(await moveBy(() => Promise.resolve(undefined), 'a'), []);
});

test('a host whose disk is full is not waited for where a majority has the block, another is', async () => {
  assert.deepEqual(await moveBy(full, 'ab'), []);
  assert.deepEqual(await moveBy(full, 'a'), [address]);
  assert.deepEqual(await moveBy(late, 'ab'), [address]);
});

test("a failure of this host's own disk is no refusal of the other's", async () => {
  const failing = (): Promise<never> => Promise.reject(new InfinitError('disk-failed', 'the disk fails'));
  assert.deepEqual(await moveBy(() => Promise.resolve(5), 'ab', failing), [address]);
});

test('copies that are missing are sent', async () => {
  const sent: string[] = [];
  const give = (_block: Address, _sealed: Uint8Array, peer: string): Promise<number> => Promise.resolve(sent.push(peer));
  assert.deepEqual(await moveBy(give, 'a'), []);
  assert.deepEqual(sent.toSorted(), ['b', 'c']);
});

/** Host d, where two blocks lie that belong to a, b and c. The second one is sent to a last; `meanwhile` happens before. Returns what is trimmed. */
async function trimmedBy(meanwhile: () => void, views: () => readonly (typeof view)[]): Promise<readonly Address[]> {
  const [first, second] = ['first', 'second'].map((text) => immutableAddress(Buffer.from(text))) as [Address, Address];
  const trimmed: Address[] = [];
  const housekeeping = {
    has: (peer: string, asked: readonly Address[]) => Promise.resolve(asked.map((one) => one === first || peer !== 'a')),
    own: ownCopy,
    give: async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      meanwhile();
      return 5;
    },
    trim: (addresses: readonly Address[]) => (trimmed.push(...addresses), Promise.resolve()),
  };
  const keeper = new CopyKeeper(
    new Standpoint({
      self: 'd',
      housekeeping: housekeeping as never,
      transport: { isConnected: () => true } as never,
      views: { ...staticViews(view), inForce: views },
      pace: new Pace(() => false, 1e9),
      settings: defaultRepairSettings,
    }),
  );
  await keeper.tend([first, second], noCounts(), signal);
  return trimmed;
}

test('copies that belong to others are trimmed once these have them, but not when the roster changed meanwhile', async () => {
  assert.equal(
    (
      await trimmedBy(
        () => {},
        () => [view],
      )
    ).length,
    2,
  );
  let views = [view];
  const later = { number: 2, roster: Roster.of(['a', 'b', 'd'].map((peer) => ({ peer, zone: '', capacity: 1 }))), replicas: 3 };
  assert.deepEqual(
    await trimmedBy(
      () => (views = [view, later]),
      () => views,
    ),
    [],
  );
});
