import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, fileTypes, gives, guests, moves, staff } from '../scene.ts';

const settable = fileTypes.filter((type) => type !== 'symlink');

export const modes: Cases = {
  'chmod sets all twelve bits of every type of file, and its change time only': (scene) => {
    for (const type of settable) {
      const path = scene.make(type);
      for (const mode of [0, 0o111, 0o4751, 0o2640, 0o1777, 0o7777]) {
        gives(sys.chmod(path, mode), 0);
        assert.equal(sys.stat(path).permissions, mode, type);
      }
      moves(path, ['changed'], () => gives(sys.chmod(path, 0o600), 0));
      moves(path, [], () =>
        gives(
          sys.as(bob, bob, () => sys.chmod(path, 0o777)),
          'EPERM',
        ),
      );
    }
  },
  'chmod follows a symbolic link, fchmod needs none': (scene) => {
    const file = scene.file('file');
    sys.must(sys.symlink('file', scene.at('link')));
    gives(sys.chmod(scene.at('link'), 0o640), 0);
    assert.equal(sys.stat(file).permissions, 0o640);
    scene.opened(file, sys.O.RDONLY, (fd) => gives(sys.fchmod(fd, 0o4711), 0));
    assert.equal(sys.stat(file).permissions, 0o4711);
  },
  'only the owner and root change a mode': (scene) => {
    const file = scene.file('file');
    sys.must(sys.chown(file, alice, staff));
    gives(
      sys.as(alice, staff, () => sys.chmod(file, 0o600)),
      0,
    );
    gives(
      sys.as(bob, staff, () => sys.chmod(file, 0o666)),
      'EPERM',
    );
    assert.equal(sys.stat(file).permissions, 0o600);
  },
  'an owner outside of the group cannot set sgid, one inside can, also by a supplementary group': (scene) => {
    const file = scene.file('file');
    sys.must(sys.chown(file, alice, staff));
    gives(
      sys.as(alice, alice, () => sys.chmod(file, 0o2755)),
      0,
    );
    assert.equal(sys.stat(file).permissions, 0o755);
    gives(
      sys.as(alice, staff, () => sys.chmod(file, 0o2755)),
      0,
    );
    assert.equal(sys.stat(file).permissions, 0o2755);
    sys.must(sys.chmod(file, 0o755));
    gives(
      sys.as(alice, alice, () => sys.chmod(file, 0o2755), [guests, staff]),
      0,
    );
    assert.equal(sys.stat(file).permissions, 0o2755);
  },
  'a write by who is not root clears suid and sgid, and stat shows it at once': (scene) => {
    const file = scene.file('file', 'x', 0o777);
    sys.must(sys.chown(file, bob, guests));
    for (const [mode, left] of [
      [0o4777, 0o777],
      [0o2777, 0o777],
      [0o6777, 0o777],
      [0o1777, 0o1777],
    ] as const) {
      sys.must(sys.chmod(file, mode));
      sys.as(alice, alice, () =>
        scene.opened(file, sys.O.WRONLY, (fd) => {
          assert.equal(sys.stat(fd).permissions, mode);
          sys.must(sys.write(fd, 'y'));
          assert.equal(sys.stat(fd).permissions, left, mode.toString(8));
        }),
      );
      assert.equal(sys.stat(file).permissions, left);
    }
  },
  'a write by root keeps suid and sgid': (scene) => {
    const file = scene.file('file', 'x', 0o6777);
    scene.opened(file, sys.O.WRONLY, (fd) => sys.must(sys.write(fd, 'y')));
    assert.equal(sys.stat(file).permissions, 0o6777);
  },
  'truncating by who is not root clears suid and sgid': (scene) => {
    const file = scene.file('file', 'text', 0o6777);
    gives(
      sys.as(alice, alice, () => sys.truncate(file, 1)),
      0,
    );
    assert.equal(sys.stat(file).permissions, 0o777);
    sys.must(sys.chmod(file, 0o6777));
    const fd = sys.as(alice, alice, () => sys.open(file, sys.O.WRONLY | sys.O.TRUNC));
    sys.must(sys.close(sys.must(fd)));
    assert.equal(sys.stat(file).permissions, 0o777);
  },
  'the umask takes bits from what is made': (scene) => {
    const before = sys.must(sys.umask(0o027));
    try {
      const made: readonly (readonly [string, () => sys.Result])[] = [
        ['file', () => sys.close(sys.must(sys.open(scene.at('file'), sys.O.CREAT | sys.O.WRONLY, 0o777)))],
        ['folder', () => sys.mkdir(scene.at('folder'), 0o777)],
        ['fifo', () => sys.mkfifo(scene.at('fifo'), 0o777)],
        ['socket', () => sys.mknod(scene.at('socket'), sys.S.IFSOCK | 0o777)],
      ];
      for (const [name, call] of made) {
        gives(call(), 0, name);
        assert.equal(sys.stat(scene.at(name)).permissions, 0o750, name);
      }
      assert.equal(sys.stat(scene.make('symlink')).permissions, 0o777);
    } finally {
      sys.umask(before);
    }
  },
  'what is made belongs to its maker, or to the group of a sgid directory, which directories inherit': (scene) => {
    const plain = scene.folder('plain', 0o777);
    const sgid = scene.folder('sgid', 0o2777);
    sys.must(sys.chown(sgid, 0, guests));
    sys.must(sys.chmod(sgid, 0o2777));
    for (const [folder, group] of [
      [plain, staff],
      [sgid, guests],
    ] as const) {
      for (const type of ['regular', 'directory', 'fifo', 'socket', 'symlink'] as const) {
        const path = `${folder}/${type}`;
        sys.as(alice, staff, () => scene.make(type, path));
        const { uid, gid } = sys.stat(path);
        assert.deepEqual({ uid, gid }, { uid: alice, gid: group }, path);
      }
      sys.must(sys.mkdir(`${folder}/again`, 0o755));
      assert.equal((sys.stat(`${folder}/again`).permissions & 0o2000) !== 0, folder === sgid);
    }
  },
};
