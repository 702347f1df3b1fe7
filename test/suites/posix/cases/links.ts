import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, fileTypes, gives, moves, tick } from '../scene.ts';

export const links: Cases = {
  'a hard link is the same file by another name': (scene) => {
    for (const type of fileTypes.filter((each) => each !== 'directory')) {
      const [one, two, three] = [scene.make(type), scene.fresh(), scene.fresh()];
      gives(sys.link(one, two), 0);
      gives(sys.link(two, three), 0);
      const before = sys.stat(one);
      assert.equal(before.links, 3);
      assert.deepEqual(sys.stat(three), before);
      if (type !== 'symlink') sys.must(sys.chmod(two, 0o751));
      sys.must(sys.lchown(three, alice, bob));
      assert.deepEqual(sys.stat(two), sys.stat(one));
      gives(sys.unlink(one), 0);
      assert.equal(sys.tryStat(one), 'ENOENT');
      assert.equal(sys.stat(three).links, 2);
    }
  },
  'linking and unlinking move the change time of the file and both times of the directory': (scene) => {
    const file = scene.file('file');
    moves(file, ['changed'], () => sys.must(sys.link(file, scene.at('second'))));
    moves(file, ['changed'], () => sys.must(sys.unlink(scene.at('second'))));
    moves(scene.directory, ['modified', 'changed'], () => sys.must(sys.link(file, scene.at('second'))));
    moves(scene.directory, ['modified', 'changed'], () => sys.must(sys.unlink(scene.at('second'))));
    moves(file, [], () => gives(sys.link(file, scene.at('file')), 'EEXIST'));
  },
  'a directory has no second name, for root neither, and unlink does not remove it': (scene) => {
    const folder = scene.folder('folder');
    gives(sys.link(folder, scene.at('second')), 'EPERM');
    gives(sys.unlink(folder), 'EISDIR');
    gives(sys.unlink(scene.at('.')), 'EISDIR');
  },
  'unlink takes a symbolic link, not what it points to': (scene) => {
    const file = scene.file('file', 'text');
    sys.must(sys.symlink('file', scene.at('link')));
    gives(sys.unlink(scene.at('link')), 0);
    assert.equal(scene.text(file), 'text');
  },
  'a symbolic link holds any text of up to 4095 bytes': (scene) => {
    for (const text of ['a', '../..', '/absolute/nowhere', ' \n\u00ff', 'x'.repeat(4095)]) {
      const link = scene.fresh();
      gives(sys.symlink(text, link), 0);
      assert.equal(sys.readlink(link), text);
      assert.equal(sys.stat(link).size, text.length);
    }
    gives(sys.symlink('x'.repeat(4096), scene.fresh()), 'ENAMETOOLONG');
    gives(sys.symlink('', scene.fresh()), 'ENOENT');
    assert.equal(sys.readlink(scene.file('file')), 'EINVAL');
    assert.equal(sys.readlink(scene.directory), 'EINVAL');
  },
  'symbolic links are followed, relative ones from their directory': (scene) => {
    scene.folder('folder');
    scene.file('folder/file', 'found');
    sys.must(sys.symlink('folder', scene.at('one')));
    sys.must(sys.symlink('one/file', scene.at('two')));
    assert.equal(scene.text(scene.at('two')), 'found');
    sys.must(sys.symlink('../two', scene.at('folder', 'three')));
    assert.equal(scene.text(scene.at('one', 'three')), 'found');
  },
  'a file that is open lives on without a name, with no links': (scene) => {
    const file = scene.file('file', 'here');
    scene.opened(file, sys.O.RDWR, (fd) => {
      sys.must(sys.unlink(file));
      assert.equal(sys.stat(fd).links, 0);
      sys.must(sys.pwrite(fd, ' still', 4));
      assert.equal(sys.pread(fd, 100, 0).text, 'here still');
      gives(sys.ftruncate(fd, 4), 0);
      gives(sys.fchmod(fd, 0o600), 0);
      assert.deepEqual([sys.stat(fd).size, sys.stat(fd).permissions], [4, 0o600]);
      const again = scene.file('file', 'another');
      assert.equal(sys.pread(fd, 100, 0).text, 'here');
      assert.notEqual(sys.stat(again).inode, sys.stat(fd).inode);
    });
  },
  'in a sticky directory only the owners of the file or the directory take a name away': (scene) => {
    for (const [owner, folderOwner, user, allowed] of [
      [alice, 0, alice, true],
      [alice, 0, bob, false],
      [0, alice, alice, true],
      [0, bob, alice, false],
    ] as const) {
      for (const type of fileTypes) {
        const folder = scene.fresh();
        sys.must(sys.mkdir(folder, 0o700));
        sys.must(sys.chown(folder, folderOwner, folderOwner));
        sys.must(sys.chmod(folder, 0o1777));
        const path = scene.make(type, `${folder}/victim`);
        sys.must(sys.lchown(path, owner, owner));
        sys.as(user, user, () => {
          if (!allowed) gives(sys.rename(path, `${folder}/moved`), 'EPERM', `rename ${type}`);
          gives(scene.remove(type, path), allowed ? 0 : 'EPERM', `remove ${type}`);
        });
      }
    }
  },
  'a thousand links to one file are counted': (scene) => {
    const file = scene.file('file');
    for (let i = 0; i < 1000; i++) sys.must(sys.link(file, scene.at(`link-${i}`)));
    assert.equal(sys.stat(file).links, 1001);
    for (let i = 0; i < 1000; i++) sys.must(sys.unlink(scene.at(`link-${i}`)));
    assert.equal(sys.stat(file).links, 1);
  },
  'a name that is made again shows the new file at once': (scene) => {
    const seen = new Set<bigint>();
    const held: number[] = [];
    for (let i = 0; i < 50; i++) {
      const file = scene.file('file', `round ${i}`);
      assert.equal(scene.text(file), `round ${i}`);
      seen.add(sys.stat(file).inode);
      held.push(sys.must(sys.open(file, sys.O.RDONLY)));
      sys.must(sys.unlink(file));
    }
    assert.equal(seen.size, 50);
    held.forEach((fd, index) => {
      assert.equal(sys.pread(fd, 20, 0).text, `round ${index}`);
      sys.must(sys.close(fd));
    });
    tick();
  },
};
