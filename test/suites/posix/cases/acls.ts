import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, gives, guests, moves, staff } from '../scene.ts';

const [access, initial] = ['system.posix_acl_access', 'system.posix_acl_default'];
const tags = { owner: 1, user: 2, group: 4, namedGroup: 8, mask: 16, other: 32 } as const;
type Entry = readonly [tag: keyof typeof tags, permissions: number, id?: number];

function acl(...entries: readonly Entry[]): Buffer {
  const buffer = Buffer.alloc(4 + entries.length * 8);
  buffer.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id = 0xffff_ffff], index) => {
    buffer.writeUInt16LE(tags[tag], 4 + index * 8);
    buffer.writeUInt16LE(permissions, 6 + index * 8);
    buffer.writeUInt32LE(id, 8 + index * 8);
  });
  return buffer;
}

function permissions(path: string, tag: keyof typeof tags, name = access): number | undefined {
  const bytes = Buffer.from(sys.getxattr(path, name).text, 'latin1');
  for (let at = 4; at < bytes.length; at += 8) if (bytes.readUInt16LE(at) === tags[tag]) return bytes.readUInt16LE(at + 2);
}

function may(uid: number, gid: number, path: string): string {
  const able = (flags: number): boolean => {
    const fd = sys.as(uid, gid, () => sys.open(path, flags));
    if (typeof fd === 'number') sys.must(sys.close(fd));
    return typeof fd === 'number';
  };
  return `${able(sys.O.RDONLY) ? 'r' : '-'}${able(sys.O.WRONLY) ? 'w' : '-'}`;
}

export const acls: Cases = {
  'named users and groups have the rights of their entry, under the mask': (scene) => {
    const file = scene.file('file', '', 0o600);
    gives(sys.setxattr(file, access, acl(['owner', 6], ['user', 6, alice], ['group', 0], ['namedGroup', 4, staff], ['mask', 6], ['other', 0])), 0);
    assert.deepEqual([may(alice, alice, file), may(bob, staff, file), may(bob, bob, file)], ['rw', 'r-', '--']);
    gives(sys.setxattr(file, access, acl(['owner', 6], ['user', 6, alice], ['group', 0], ['namedGroup', 4, staff], ['mask', 4], ['other', 0])), 0);
    assert.deepEqual([may(alice, alice, file), may(bob, staff, file)], ['r-', 'r-']);
  },
  "the mode shows the mask as the group's bits, and chmod sets the mask": (scene) => {
    const file = scene.file('file', '', 0o600);
    gives(sys.setxattr(file, access, acl(['owner', 6], ['user', 7, alice], ['group', 4], ['mask', 5], ['other', 1])), 0);
    assert.equal(sys.stat(file).permissions, 0o651);
    gives(sys.chmod(file, 0o720), 0);
    assert.deepEqual([permissions(file, 'owner'), permissions(file, 'mask'), permissions(file, 'group'), permissions(file, 'other')], [7, 2, 4, 0]);
    assert.equal(sys.stat(file).permissions, 0o720);
  },
  'an ACL that says no more than a mode is kept as the mode': (scene) => {
    const file = scene.file('file', '', 0o600);
    gives(sys.setxattr(file, access, acl(['owner', 7], ['group', 5], ['other', 4])), 0);
    assert.equal(sys.stat(file).permissions, 0o754);
    assert.equal(sys.getxattr(file, access).error, 'ENODATA');
  },
  'removing an ACL leaves the mode': (scene) => {
    const file = scene.file('file', '', 0o600);
    sys.must(sys.setxattr(file, access, acl(['owner', 6], ['user', 4, alice], ['group', 0], ['mask', 4], ['other', 0])));
    assert.equal(may(alice, alice, file), 'r-');
    moves(file, ['changed'], () => gives(sys.removexattr(file, access), 0));
    assert.equal(sys.getxattr(file, access).error, 'ENODATA');
    assert.equal(may(alice, alice, file), '--');
    assert.equal(sys.stat(file).permissions, 0o640);
  },
  'what is no valid ACL is EINVAL, and only the owner sets one': (scene) => {
    const file = scene.file('file', '', 0o666);
    gives(sys.setxattr(file, access, acl(['owner', 6], ['user', 6, alice], ['group', 0], ['other', 0])), 'EINVAL', 'no mask');
    gives(sys.setxattr(file, access, acl(['owner', 6], ['other', 0])), 'EINVAL', 'no group');
    gives(sys.setxattr(file, access, Buffer.from([2, 0, 0, 0, 1, 2, 3])), 'EINVAL', 'cut short');
    gives(
      sys.as(alice, alice, () => sys.setxattr(file, access, acl(['owner', 6], ['group', 6], ['other', 6]))),
      'EPERM',
    );
    gives(sys.setxattr(file, initial, acl(['owner', 6], ['group', 6], ['other', 6])), 'EACCES', 'a default on a file');
  },
  'a default ACL decides about what is made below, in place of the umask': (scene) => {
    const folder = scene.folder('folder', 0o755);
    const given = acl(['owner', 7], ['user', 6, alice], ['group', 5], ['mask', 7], ['other', 0]);
    gives(sys.setxattr(folder, initial, given), 0);
    const before = sys.must(sys.umask(0o077));
    try {
      sys.must(sys.close(sys.must(sys.open(`${folder}/file`, sys.O.CREAT | sys.O.WRONLY, 0o666))));
      sys.must(sys.mkdir(`${folder}/sub`, 0o777));
      sys.must(sys.mkfifo(`${folder}/fifo`, 0o622));
    } finally {
      sys.umask(before);
    }
    assert.equal(sys.stat(`${folder}/file`).permissions, 0o660);
    assert.deepEqual([permissions(`${folder}/file`, 'user'), permissions(`${folder}/file`, 'mask')], [6, 6]);
    assert.equal(may(alice, alice, `${folder}/file`), 'rw');
    assert.equal(sys.stat(`${folder}/fifo`).permissions, 0o620);
    assert.equal(sys.getxattr(`${folder}/sub`, initial).text, given.toString('latin1'), 'directories hand it on');
    assert.equal(sys.stat(`${folder}/sub`).permissions, 0o770);
  },
  'a minimal default ACL sets modes without leaving ACLs behind': (scene) => {
    const folder = scene.folder('folder', 0o755);
    gives(sys.setxattr(folder, initial, acl(['owner', 6], ['group', 4], ['other', 0])), 0);
    scene.file('folder/file', '', 0o640);
    sys.must(sys.close(sys.must(sys.open(`${folder}/made`, sys.O.CREAT | sys.O.WRONLY, 0o666))));
    assert.equal(sys.stat(`${folder}/made`).permissions, 0o640);
    assert.equal(sys.getxattr(`${folder}/made`, access).error, 'ENODATA');
    gives(sys.removexattr(folder, initial), 0);
    assert.equal(sys.getxattr(folder, initial).error, 'ENODATA');
  },
  'an ACL of a group that one is in only by the way counts': (scene) => {
    const file = scene.file('file', '', 0o600);
    sys.must(sys.setxattr(file, access, acl(['owner', 6], ['group', 0], ['namedGroup', 6, guests], ['mask', 6], ['other', 0])));
    const fd = sys.as(bob, bob, () => sys.open(file, sys.O.RDWR), [staff, guests]);
    sys.must(sys.close(sys.must(fd)));
  },
};
