import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, gives, moves, staff } from '../scene.ts';

export const attributes: Cases = {
  'extended attributes are set, read, listed and removed': (scene) => {
    for (const path of [scene.file('file'), scene.folder('folder')]) {
      assert.deepEqual(sys.listxattr(path), []);
      const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      gives(sys.setxattr(path, 'user.bytes', value), 0);
      gives(sys.setxattr(path, 'user.empty', ''), 0);
      gives(sys.setxattr(path, 'trusted.root', 'only'), 0);
      assert.equal(sys.getxattr(path, 'user.bytes').text, value.toString('latin1'));
      assert.equal(sys.getxattr(path, 'user.empty').text, '');
      assert.deepEqual([...sys.listxattr(path)].sort(), ['trusted.root', 'user.bytes', 'user.empty']);
      gives(sys.removexattr(path, 'user.empty'), 0);
      gives(sys.removexattr(path, 'user.empty'), 'ENODATA');
      assert.equal(sys.getxattr(path, 'user.empty').error, 'ENODATA');
    }
  },
  'XATTR_CREATE and XATTR_REPLACE mean it': (scene) => {
    const file = scene.file('file');
    gives(sys.setxattr(file, 'user.x', '1', sys.XATTR.REPLACE), 'ENODATA');
    gives(sys.setxattr(file, 'user.x', '1', sys.XATTR.CREATE), 0);
    gives(sys.setxattr(file, 'user.x', '2', sys.XATTR.CREATE), 'EEXIST');
    gives(sys.setxattr(file, 'user.x', '3', sys.XATTR.REPLACE), 0);
    assert.equal(sys.getxattr(file, 'user.x').text, '3');
  },
  'the size can be asked for, and a buffer too small is ERANGE': (scene) => {
    const file = scene.file('file');
    sys.must(sys.setxattr(file, 'user.x', 'x'.repeat(1000)));
    assert.equal(sys.getxattr(file, 'user.x', 0).text, '1000');
    assert.equal(sys.getxattr(file, 'user.x', 999).error, 'ERANGE');
    assert.equal(sys.getxattr(file, 'user.x', 1000).text.length, 1000);
  },
  'names: a known name space, at most 255 bytes': (scene) => {
    const file = scene.file('file');
    gives(sys.setxattr(file, 'nonsense.x', 'x'), 'EOPNOTSUPP');
    gives(sys.setxattr(file, `user.${'n'.repeat(251)}`, 'x'), 'ERANGE');
    gives(sys.setxattr(file, `user.${'n'.repeat(250)}`, 'x'), 0);
    assert.deepEqual(sys.listxattr(file), [`user.${'n'.repeat(250)}`]);
    gives(sys.setxattr(scene.make('symlink'), 'user.x', 'x'), 'EPERM');
  },
  'attributes follow the rights of the file': (scene) => {
    const file = scene.file('file', '', 0o640);
    sys.must(sys.chown(file, alice, staff));
    sys.must(sys.setxattr(file, 'user.x', 'x'));
    sys.as(bob, staff, () => {
      assert.equal(sys.getxattr(file, 'user.x').text, 'x');
      gives(sys.setxattr(file, 'user.x', 'y'), 'EACCES');
    });
    sys.as(bob, bob, () => assert.equal(sys.getxattr(file, 'user.x').error, 'EACCES'));
    sys.as(alice, alice, () => {
      gives(sys.setxattr(file, 'user.y', 'y'), 0);
      gives(sys.setxattr(file, 'trusted.y', 'y'), 'EPERM');
    });
  },
  'setting and removing move the change time': (scene) => {
    const file = scene.file('file');
    moves(file, ['changed'], () => gives(sys.setxattr(file, 'user.x', 'x'), 0));
    moves(file, ['changed'], () => gives(sys.removexattr(file, 'user.x'), 0));
  },
  'attributes belong to the file, not to its name': (scene) => {
    const file = scene.file('file');
    sys.must(sys.setxattr(file, 'user.x', 'x'));
    sys.must(sys.link(file, scene.at('link')));
    sys.must(sys.rename(file, scene.at('renamed')));
    assert.equal(sys.getxattr(scene.at('link'), 'user.x').text, 'x');
    assert.equal(sys.getxattr(scene.at('renamed'), 'user.x').text, 'x');
  },
};
