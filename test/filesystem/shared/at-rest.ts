import assert from 'node:assert/strict';

import type { Grants, SharedFileSystem, Volume } from '../../../src/filesystem/index.ts';
import { assertRests } from '../at-rest.ts';
import type { OpenFiles } from './open-files.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Longer than anything that is lost is waited for, in ms. */
const quietMs = 65_000;

interface Resting {
  readonly time: VirtualTime;
  readonly hosts: readonly SharedFileSystem[];
  readonly openFiles: readonly OpenFiles[];
  /** As the one host serves it. */
  readonly volume: Volume;
  readonly grants: Grants;
}

/** Programs end, and nothing more is asked for: what any host has in use then it has for good, and it shows only in that things become slow, or come to an end when there is too much of it. */
export async function assertAllRest({ time, hosts, openFiles, volume, grants }: Resting): Promise<void> {
  await Promise.all(openFiles.map((files) => files.closeAll()));
  // What was lost a sync says once.
  for (let round = 0; round < 2; round++) await Promise.all(hosts.map((host) => host.syncfs().catch(() => {})));
  await time.quiet(quietMs);
  for (const [index, { memory }] of hosts.entries()) assertNothing(memory, `host ${index}`);
  await volume.syncfs();
  assertRests(volume, 'sync');
  await volume.recall();
  assertRests(volume, 'recall');
  const { loans, ...pending } = grants.memory;
  assertNothing(pending, 'what is asked back');
  // A guest may not have heard what it was lent: that is asked back when somebody wants the file.
  if (loans > 0) await grants.close();
  assertNothing(grants.memory, 'what was asked back');
}

function assertNothing(memory: object, name: string): void {
  assert.deepEqual(Object.fromEntries(Object.entries(memory).filter(([, count]) => count !== 0)), {}, `not at rest: ${name}`);
}
