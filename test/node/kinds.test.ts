import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { kinds as membershipKinds } from '../../src/membership/messages.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { repairKinds } from '../../src/repair/kinds.ts';
import { kinds } from '../../src/store/kinds.ts';

const all = [kinds, membershipKinds, repairKinds, nodeKinds].flatMap((each) => Object.values<number>(each));

test('no message kind has two names', () => {
  assert.equal(new Set(all).size, all.length);
});

test('of every message kind it is written who may ask for it', async () => {
  const text = await readFile(new URL('../../docs/wire-protocol.md', import.meta.url), 'utf8');
  const section = /^## Who may ask for what$([^]*?)^\*\*/m.exec(text)![1]!;
  const listed = section.split('\n').flatMap((line) => /^\| ([\d, ]+) \|/.exec(line)?.[1]?.split(', ').map(Number) ?? []);
  assert.deepEqual([...new Set(listed)].filter((kind) => kind >= 64).toSorted(), all.toSorted());
});
