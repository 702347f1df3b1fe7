import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { Scrubber } from '../../src/repair/scrubber.ts';
import { defaultRepairSettings } from '../../src/repair/settings.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import { eventually } from '../suites/transport-suite.ts';

test('scrub begins anew where it cannot be read how far it came', async () => {
  let scrubs = 0;
  const housekeeping = {
    load: () => Promise.reject(new InfinitError('damaged', 'a test said so')),
    save: () => Promise.resolve(),
    scrub: async () => {
      scrubs++;
      return { blocks: 1, bytes: 1, damaged: 0, last: undefined, finished: true };
    },
  };
  const scrubber = new Scrubber({ housekeeping, settings: defaultRepairSettings } as unknown as Standpoint, silentLogger);
  const stop = new AbortController();
  const running = scrubber.run(stop.signal).catch(() => {});
  scrubber.now(1e9);
  await eventually(() => scrubs === 1 && scrubber.status().runs === 1, 'everything was read');
  stop.abort();
  await running;
});
