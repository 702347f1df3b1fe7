import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, fileTypes, gives, guests, moves, staff } from '../scene.ts';

const owner = (path: string): [number, number] => {
  const { uid, gid } = sys.stat(path);
  return [uid, gid];
};

export const owners: Cases = {
  'root gives any file to anybody; -1 leaves a side alone': (scene) => {
    for (const type of fileTypes) {
      const path = scene.make(type);
      gives(sys.lchown(path, alice, staff), 0);
      assert.deepEqual(owner(path), [alice, staff], type);
      gives(sys.lchown(path, bob, -1), 0);
      assert.deepEqual(owner(path), [bob, staff], type);
      gives(sys.lchown(path, -1, guests), 0);
      assert.deepEqual(owner(path), [bob, guests], type);
      moves(path, ['changed'], () => gives(sys.lchown(path, 0, 0), 0));
    }
  },
  'ids beyond 16 and 31 bits are kept': (scene) => {
    const file = scene.file('file');
    gives(sys.chown(file, 4_000_000_000, 3_000_000_001), 0);
    assert.deepEqual(owner(file), [4_000_000_000, 3_000_000_001]);
  },
  'chown follows a symbolic link, lchown and fchown do not': (scene) => {
    const file = scene.file('file');
    const link = scene.at('link');
    sys.must(sys.symlink('file', link));
    gives(sys.chown(link, alice, staff), 0);
    assert.deepEqual(
      [owner(file), owner(link)],
      [
        [alice, staff],
        [0, 0],
      ],
    );
    gives(sys.lchown(link, bob, guests), 0);
    assert.deepEqual(
      [owner(file), owner(link)],
      [
        [alice, staff],
        [bob, guests],
      ],
    );
    scene.opened(file, sys.O.RDONLY, (fd) => gives(sys.fchown(fd, bob, staff), 0));
    assert.deepEqual(owner(file), [bob, staff]);
  },
  'an owner gives his file only to groups of his own, and to no other user': (scene) => {
    const file = scene.file('file');
    sys.must(sys.chown(file, alice, staff));
    sys.as(
      alice,
      staff,
      () => {
        gives(sys.chown(file, -1, guests), 0);
        gives(sys.chown(file, alice, staff), 0);
        gives(sys.chown(file, -1, bob), 'EPERM');
        gives(sys.chown(file, bob, -1), 'EPERM');
      },
      [guests],
    );
    sys.as(bob, staff, () => {
      gives(sys.chown(file, bob, -1), 'EPERM');
      gives(sys.chown(file, -1, staff), 'EPERM');
    });
    moves(file, [], () =>
      gives(
        sys.as(bob, bob, () => sys.chown(file, bob, bob)),
        'EPERM',
      ),
    );
  },
  'a change of owner clears suid and sgid, whoever makes it; where the group may not execute sgid stays': (scene) => {
    const file = scene.file('file');
    for (const [mode, left] of [
      [0o6755, 0o755],
      [0o4755, 0o755],
      [0o2755, 0o755],
      [0o2745, 0o2745],
    ] as const) {
      sys.must(sys.chown(file, alice, staff));
      sys.must(sys.chmod(file, mode));
      gives(sys.chown(file, bob, guests), 0);
      assert.equal(sys.stat(file).permissions, left, mode.toString(8));
    }
    sys.must(sys.chown(file, alice, staff));
    sys.must(sys.chmod(file, 0o6755));
    gives(
      sys.as(alice, staff, () => sys.chown(file, -1, guests), [guests]),
      0,
    );
    assert.equal(sys.stat(file).permissions, 0o755);
  },
  'a change of owner to nobody and no group clears suid and sgid too': (scene) => {
    const file = scene.file('file', '', 0o6755);
    sys.must(sys.chown(file, alice, staff));
    sys.must(sys.chmod(file, 0o6755));
    moves(file, ['changed'], () =>
      gives(
        sys.as(alice, staff, () => sys.chown(file, -1, -1)),
        0,
      ),
    );
    assert.equal(sys.stat(file).permissions, 0o755);
  },
  'a directory keeps its bits when it changes hands': (scene) => {
    const folder = scene.folder('folder', 0o7755);
    gives(sys.chown(folder, bob, guests), 0);
    assert.equal(sys.stat(folder).permissions, 0o7755);
  },
};
