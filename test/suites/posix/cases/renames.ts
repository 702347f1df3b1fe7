import assert from 'node:assert/strict';
import { lstatSync } from 'node:fs';
import * as sys from '../syscalls.ts';
import { alice, bob, type Cases, fileTypes, gives, moves } from '../scene.ts';

function give(path: string, uid: number): string {
  sys.must(sys.lchown(path, uid, uid));
  return path;
}

export const renames: Cases = {
  'a rename keeps the file, only its name changes': (scene) => {
    for (const type of fileTypes) {
      const [from, to] = [scene.make(type), scene.fresh()];
      const before = sys.stat(from);
      gives(sys.rename(from, to), 0);
      assert.equal(sys.tryStat(from), 'ENOENT');
      const now = sys.stat(to);
      assert.deepEqual({ ...now, changed: 0n }, { ...before, changed: 0n }, type);
    }
  },
  'what may replace what': (scene) => {
    for (const from of fileTypes) {
      for (const to of fileTypes) {
        const [source, target] = [scene.make(from), scene.make(to)];
        const expected = from === 'directory' && to !== 'directory' ? 'ENOTDIR' : from !== 'directory' && to === 'directory' ? 'EISDIR' : 0;
        const { inode } = sys.stat(source);
        gives(sys.rename(source, target), expected, `${from} onto ${to}`);
        if (expected === 0) {
          assert.equal(sys.stat(target).inode, inode);
          assert.equal(sys.tryStat(source), 'ENOENT');
        }
      }
    }
  },
  'a directory is replaced only when empty': (scene) => {
    const [from, to] = [scene.folder('from'), scene.folder('to')];
    scene.file('to/inside');
    scene.file('from/kept');
    assert.ok(['ENOTEMPTY', 'EEXIST'].includes(String(sys.rename(from, to))));
    sys.must(sys.unlink(scene.at('to', 'inside')));
    gives(sys.rename(from, to), 0);
    assert.deepEqual(scene.list(to), ['kept']);
  },
  'a directory does not go below itself, and "." and ".." are no names': (scene) => {
    const folder = scene.folder('folder');
    scene.folder('folder/inner');
    gives(sys.rename(folder, `${folder}/inner/deep`), 'EINVAL');
    gives(sys.rename(folder, `${folder}/new`), 'EINVAL');
    for (const name of ['.', '..']) {
      gives(sys.rename(`${folder}/${name}`, scene.fresh()), 'EBUSY', name);
      gives(sys.rename(scene.file(`file${name}`), `${folder}/${name}`), 'EBUSY', name);
    }
  },
  'onto itself or another link of itself nothing happens': (scene) => {
    const file = scene.file('file');
    sys.must(sys.link(file, scene.at('link')));
    gives(sys.rename(file, file), 0);
    gives(sys.rename(file, scene.at('link')), 0);
    assert.deepEqual(scene.list().sort(), ['file', 'link']);
    const folder = scene.folder('folder');
    gives(sys.rename(folder, folder), 0);
  },
  'links of both directories are counted when a directory moves, and its ".." follows': (scene) => {
    const [one, two] = [scene.folder('one'), scene.folder('two')];
    scene.folder('one/child');
    gives(sys.rename(scene.at('one', 'child'), scene.at('two', 'child')), 0);
    assert.deepEqual([sys.stat(one).links, sys.stat(two).links], [2, 3]);
    assert.equal(sys.stat(scene.at('two', 'child', '..')).inode, sys.stat(two).inode);
    scene.folder('one/other');
    gives(sys.rename(scene.at('one', 'other'), scene.at('two', 'child')), 0);
    assert.deepEqual([sys.stat(one).links, sys.stat(two).links], [2, 3]);
  },
  'a rename moves both times of both directories and the change time of what moved and what was replaced': (scene) => {
    const [one, two] = [scene.folder('one'), scene.folder('two')];
    for (const type of ['regular', 'directory'] as const) {
      const path = scene.make(type, `${one}/${type}`);
      moves(one, ['modified', 'changed'], () => sys.must(sys.rename(path, `${two}/${type}`)));
      moves(two, ['modified', 'changed'], () => sys.must(sys.rename(`${two}/${type}`, path)));
    }
    const replaced = scene.file('replaced');
    sys.must(sys.link(replaced, scene.at('second')));
    moves(scene.at('second'), ['changed'], () => sys.must(sys.rename(scene.file('source'), replaced)));
    assert.equal(sys.stat(scene.at('second')).links, 1);
  },
  'a replaced file that is open lives on': (scene) => {
    const target = scene.file('target', 'old');
    scene.opened(target, sys.O.RDONLY, (fd) => {
      sys.must(sys.rename(scene.file('source', 'new'), target));
      assert.deepEqual([sys.pread(fd, 10, 0).text, sys.stat(fd).links, scene.text(target)], ['old', 0, 'new']);
    });
  },
  "in a sticky directory one neither takes nor replaces what is another's": (scene) => {
    const sticky = scene.folder('sticky', 0o1777);
    const open = scene.folder('open', 0o777);
    for (const type of ['regular', 'directory', 'fifo', 'symlink'] as const) {
      const others = give(scene.make(type, `${sticky}/others`), bob);
      const mine = give(scene.make(type, `${sticky}/mine`), alice);
      const source = give(scene.make(type, `${open}/source`), alice);
      sys.as(alice, alice, () => {
        gives(sys.rename(others, `${open}/stolen`), 'EPERM', type);
        gives(sys.rename(source, others), 'EPERM', type);
        gives(sys.rename(source, mine), 0, type);
        gives(sys.rename(mine, `${open}/moved`), 0, type);
      });
      gives(scene.remove(type, others), 0);
      gives(scene.remove(type, `${open}/moved`), 0);
    }
  },
  'a directory of another\'s moves only with the right to write it, since its ".." changes': (scene) => {
    const [from, to] = [scene.folder('from', 0o777), scene.folder('to', 0o777)];
    scene.folder('from/theirs', 0o755);
    sys.as(alice, alice, () => {
      gives(sys.rename(`${from}/theirs`, `${to}/theirs`), 'EACCES');
      gives(sys.rename(`${from}/theirs`, `${from}/renamed`), 0);
    });
  },
  'RENAME_NOREPLACE replaces nothing': (scene) => {
    for (const type of fileTypes) {
      const [from, to] = [scene.make(type), scene.make(type)];
      gives(sys.rename(from, to, sys.RENAME.NOREPLACE), 'EEXIST', type);
      gives(sys.rename(from, scene.fresh(), sys.RENAME.NOREPLACE), 0, type);
    }
  },
  'RENAME_WHITEOUT leaves a device 0:0 under the old name, by which overlayfs knows what is gone': (scene) => {
    const folder = scene.folder('elsewhere');
    for (const type of fileTypes) {
      const source = scene.make(type);
      const { inode } = sys.stat(source);
      const moved = `${folder}/${type}`;
      gives(sys.rename(source, moved, sys.RENAME.WHITEOUT | sys.RENAME.NOREPLACE), 0, type);
      assert.equal(sys.stat(moved).inode, inode);
      const left = sys.stat(source);
      assert.deepEqual([left.type, left.permissions, lstatSync(source).rdev, left.links], [sys.S.IFCHR, 0, 0, 1], type);
    }
    const [from, over] = [scene.make('regular'), scene.make('regular')];
    const { inode } = sys.stat(from);
    gives(sys.rename(from, over, sys.RENAME.WHITEOUT), 0);
    assert.equal(sys.stat(over).inode, inode);
    gives(sys.rename(over, from, sys.RENAME.WHITEOUT | sys.RENAME.EXCHANGE), 'EINVAL');
    gives(sys.rename(scene.at('none'), from, sys.RENAME.WHITEOUT), 'ENOENT');
  },
  'RENAME_EXCHANGE exchanges anything with anything, in one directory and between two': (scene) => {
    const folder = scene.folder('folder');
    for (const one of fileTypes) {
      for (const two of fileTypes) {
        const [first, second] = [scene.make(one), scene.make(two, `${folder}/${one}-${two}`)];
        const [a, b] = [sys.stat(first), sys.stat(second)];
        gives(sys.rename(first, second, sys.RENAME.EXCHANGE), 0, `${one} and ${two}`);
        assert.deepEqual([sys.stat(first).inode, sys.stat(second).inode], [b.inode, a.inode]);
        assert.deepEqual([sys.stat(first).type, sys.stat(second).type], [b.type, a.type]);
      }
    }
    const subdirectories = (path: string): number => scene.list(path).filter((name) => sys.stat(`${path}/${name}`).type === sys.S.IFDIR).length;
    assert.equal(sys.stat(folder).links, 2 + subdirectories(folder));
    assert.equal(sys.stat(scene.directory).links, 2 + subdirectories(scene.directory));
    gives(sys.rename(folder, scene.at('none'), sys.RENAME.EXCHANGE), 'ENOENT');
    gives(sys.rename(scene.at('none'), folder, sys.RENAME.EXCHANGE), 'ENOENT');
    gives(sys.rename(folder, scene.at('x'), sys.RENAME.EXCHANGE | sys.RENAME.NOREPLACE), 'EINVAL');
  },
};
