import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { holderOf } from '../../src/api/index.ts';
import { refuseOwnPlaces } from '../../src/node/mounts/bound-places.ts';

test('a directory that holds what the daemon lives by is refused, by its real path too; others and containers are not', (t) => {
  const base = realpathSync(mkdtempSync(path.join(tmpdir(), 'infinit-places-')));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  mkdirSync(path.join(base, 'var/state'), { recursive: true });
  symlinkSync(path.join(base, 'var'), path.join(base, 'link'));
  const own = [path.join(base, 'link/state'), path.join(base, 'volumes')];
  for (const place of ['var/state', 'var', '.', 'volumes'])
    assert.throws(() => refuseOwnPlaces(holderOf(path.join(base, place)), own), { code: 'bad-argument', message: /would hide / }, place);
  for (const place of ['var/state/below', 'var/states', 'elsewhere', 'var/..state']) refuseOwnPlaces(holderOf(path.join(base, place)), own);
  refuseOwnPlaces('docker:0123', own);
});
