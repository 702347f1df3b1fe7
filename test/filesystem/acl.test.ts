import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Acl, aclAfterChmod, decodeAcl, encodeAcl, inheritAcl, modeOfAcl } from '../../src/filesystem/inodes/acl.ts';
import { acl, nobody } from './an-acl.ts';

test('an ACL reads back as it was written', () => {
  assert.deepEqual(decodeAcl(encodeAcl(acl)), acl);
  assert.equal(decodeAcl(new Uint8Array(0)), undefined);
});

function bad(change: (entries: Acl['entries'][number][]) => void): void {
  const entries = [...acl.entries];
  change(entries);
  assert.throws(() => decodeAcl(encodeAcl({ entries })), { errno: 'EINVAL' });
}

test('malformed ACLs are refused', () => {
  bad((entries) => entries.pop());
  bad((entries) => entries.splice(3, 1));
  bad((entries) => entries.push(entries.shift()!));
  bad((entries) => entries.splice(1, 0, { tag: 1, permissions: 7, id: nobody }));
  assert.throws(() => decodeAcl(Uint8Array.of(2, 0, 0, 0, 1)), { errno: 'EINVAL' });
  assert.throws(() => decodeAcl(Uint8Array.of(3, 0, 0, 0)), { errno: 'EOPNOTSUPP' });
});

test('the mode shows owner, mask and other', () => {
  assert.deepEqual(modeOfAcl(acl, 0o100000), { mode: 0o100774, minimal: false });
  assert.deepEqual(modeOfAcl({ entries: acl.entries.filter(({ tag }) => tag !== 2 && tag !== 16) }, 0o104000), { mode: 0o104754, minimal: true });
});

test('chmod changes the mask, not the group’s own entry', () => {
  const after = aclAfterChmod(acl, 0o640);
  assert.deepEqual(
    after.entries.map(({ permissions }) => permissions),
    [6, 6, 5, 4, 0],
  );
});

test('a new file’s mode restricts what it inherits', () => {
  const { mode, access } = inheritAcl(acl, 0o100640);
  assert.equal(mode, 0o100640);
  assert.deepEqual(
    access?.entries.map(({ permissions }) => permissions),
    [6, 6, 5, 4, 0],
  );
});
