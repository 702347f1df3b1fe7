import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { immutableAddress } from '../../src/block/index.ts';
import type { ScrubOptions, ScrubReport } from '../../src/disk/index.ts';
import { Pace } from '../../src/repair/pace.ts';
import { Scrubber } from '../../src/repair/scrubber.ts';
import { defaultRepairSettings } from '../../src/repair/settings.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';

test('a disk that is damaged all over is read no faster than it is mended', async () => {
  const stop = new AbortController();
  const blocks = 500;
  let [told, mended, most] = [0, 0, 0];
  const housekeeping = {
    load: () => Promise.resolve(undefined),
    save: () => Promise.resolve(),
    pull: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      mended++;
      return 0;
    },
    scrub: async ({ onDamaged }: ScrubOptions): Promise<ScrubReport> => {
      for (let index = 0; index < blocks; index++) {
        most = Math.max(most, ++told - mended);
        await onDamaged(immutableAddress(Buffer.from(String(index))));
      }
      return { blocks, bytes: 0, damaged: blocks, last: undefined, finished: true };
    },
  };
  const standpoint = { housekeeping, pace: new Pace(() => false, 1e9), settings: defaultRepairSettings };
  const scrubber = new Scrubber(standpoint as unknown as Standpoint, silentLogger);
  const running = scrubber.run(stop.signal).catch(() => {});
  scrubber.now(1e9);
  while (scrubber.status().runs === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  await running;
  assert.equal(mended, blocks);
  assert.equal(scrubber.status().repaired, blocks);
  assert.ok(most <= 65, `${most} blocks waited to be mended`);
});
