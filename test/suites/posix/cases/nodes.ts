import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, type Cases, fileTypes, gives, moves, staff } from '../scene.ts';

const typeOf = {
  regular: sys.S.IFREG,
  directory: sys.S.IFDIR,
  fifo: sys.S.IFIFO,
  block: sys.S.IFBLK,
  character: sys.S.IFCHR,
  socket: sys.S.IFSOCK,
  symlink: sys.S.IFLNK,
};

export const nodes: Cases = {
  'every type of file is what it was made as': (scene) => {
    for (const type of fileTypes) assert.equal(sys.stat(scene.make(type)).type, typeOf[type], type);
  },
  'mknod without a type, and with that of a file, makes an empty file': (scene) => {
    gives(sys.mknod(scene.at('one'), 0o640), 0);
    gives(sys.mknod(scene.at('two'), sys.S.IFREG | 0o604), 0);
    const [one, two] = [sys.stat(scene.at('one')), sys.stat(scene.at('two'))];
    assert.deepEqual([one.type, one.size, one.permissions], [sys.S.IFREG, 0, 0o640]);
    assert.deepEqual([two.type, two.size, two.permissions], [sys.S.IFREG, 0, 0o604]);
    gives(sys.mknod(scene.at('three'), sys.S.IFDIR | 0o755), 'EPERM');
  },
  'device numbers are kept, large ones too': (scene) => {
    for (const [major, minor] of [
      [1, 3],
      [0, 0],
      [255, 255],
      [4095, 1_048_575],
    ] as const) {
      for (const kind of [sys.S.IFBLK, sys.S.IFCHR]) {
        const path = scene.fresh();
        gives(sys.mknod(path, kind | 0o600, major, minor), 0);
        const made = sys.stat(path);
        assert.deepEqual([made.major, made.minor], [major, minor]);
      }
    }
  },
  'who is not root makes no devices, but pipes and sockets': (scene) => {
    sys.as(alice, staff, () => {
      gives(sys.mknod(scene.at('block'), sys.S.IFBLK | 0o600, 1, 2), 'EPERM');
      gives(sys.mknod(scene.at('character'), sys.S.IFCHR | 0o600, 1, 2), 'EPERM');
      gives(sys.mknod(scene.at('socket'), sys.S.IFSOCK | 0o600), 0);
      gives(sys.mkfifo(scene.at('fifo'), 0o600), 0);
    });
    const { uid, gid } = sys.stat(scene.at('fifo'));
    assert.deepEqual([uid, gid], [alice, staff]);
  },
  'a pipe carries data and a character device is the device': (scene) => {
    const fifo = scene.make('fifo');
    gives(sys.open(fifo, sys.O.WRONLY | sys.O.NONBLOCK), 'ENXIO');
    const reader = sys.must(sys.open(fifo, sys.O.RDONLY | sys.O.NONBLOCK));
    const writer = sys.must(sys.open(fifo, sys.O.WRONLY | sys.O.NONBLOCK));
    assert.equal(sys.write(writer, 'through the pipe'), 16);
    assert.equal(sys.read(reader, 100).text, 'through the pipe');
    sys.must(sys.close(writer));
    sys.must(sys.close(reader));
    sys.must(sys.mknod(scene.at('zero'), sys.S.IFCHR | 0o666, 1, 5));
    assert.equal(
      scene.opened(scene.at('zero'), sys.O.RDONLY, (fd) => sys.pread(fd, 4, 0).text),
      '\0\0\0\0',
    );
    gives(sys.open(scene.make('socket'), sys.O.RDONLY), 'ENXIO');
  },
  'a new node has all its times from its making, and moves its directory': (scene) => {
    for (const type of fileTypes) {
      const path = scene.fresh();
      moves(scene.directory, ['modified', 'changed'], () => scene.make(type, path));
      const made = sys.stat(path);
      const folder = sys.stat(scene.directory);
      assert.ok(made.modified - folder.modified < 1_000_000_000n && folder.modified - made.modified < 1_000_000_000n);
      assert.ok(made.accessed > 0n && made.changed >= made.modified - 20_000_000n);
    }
  },
};
