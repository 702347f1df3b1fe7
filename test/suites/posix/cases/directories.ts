import assert from 'node:assert/strict';
import * as sys from '../syscalls.ts';
import { type Cases, fileTypes, gives, moves } from '../scene.ts';

export const directories: Cases = {
  'a directory counts its subdirectories as links': (scene) => {
    const folder = scene.folder('folder');
    assert.equal(sys.stat(folder).links, 2);
    scene.folder('folder/one');
    scene.folder('folder/two');
    scene.file('folder/file');
    assert.equal(sys.stat(folder).links, 4);
    sys.must(sys.rmdir(scene.at('folder', 'one')));
    assert.equal(sys.stat(folder).links, 3);
  },
  'making and removing anything moves both times of its directory': (scene) => {
    for (const type of fileTypes) {
      const path = scene.fresh();
      moves(scene.directory, ['modified', 'changed'], () => scene.make(type, path));
      moves(scene.directory, ['modified', 'changed'], () => gives(scene.remove(type, path), 0));
    }
  },
  'only an empty directory goes, and only by rmdir of its name': (scene) => {
    const folder = scene.folder('folder');
    for (const type of fileTypes) {
      const inside = scene.make(type, `${folder}/inside`);
      gives(sys.rmdir(folder), 'ENOTEMPTY', type);
      gives(scene.remove(type, inside), 0);
    }
    for (const type of fileTypes) if (type !== 'directory') gives(sys.rmdir(scene.make(type)), 'ENOTDIR', type);
    gives(sys.rmdir(`${folder}/.`), 'EINVAL');
    gives(sys.rmdir(`${folder}/..`), 'ENOTEMPTY');
    gives(sys.rmdir(folder), 0);
    gives(sys.rmdir(folder), 'ENOENT');
  },
  'nothing can be made in a directory that is gone but open': (scene) => {
    const folder = scene.folder('folder');
    scene.opened(folder, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      sys.must(sys.rmdir(folder));
      const path = `/proc/self/fd/${fd}/new`;
      gives(sys.mkdir(path, 0o755), 'ENOENT');
      gives(sys.open(path, sys.O.CREAT | sys.O.WRONLY, 0o644), 'ENOENT');
      assert.equal(sys.stat(fd).links, 0);
    });
  },
  'names may be any bytes but / and NUL': (scene) => {
    const names: string[] = [];
    for (let byte = 1; byte < 256; byte++) if (byte !== 0x2f) names.push(`n${String.fromCharCode(byte)}`);
    names.push('\n', ' ', '*', '-rf', '...', '\u00ff\u00fe', 'é', 'x'.repeat(255), '\u00e9'.repeat(255));
    for (const name of names) scene.file(name, name);
    assert.deepEqual(scene.list().sort(), names.sort());
    for (const name of names) assert.equal(scene.text(scene.at(name)), name);
  },
  'names that differ in case or form are different': (scene) => {
    for (const name of ['a', 'A', '\u00c3\u00a9', 'e\u00cc\u0081']) scene.file(name, name);
    assert.equal(scene.list().length, 4);
  },
  'a listing shows "." and ".." and the inode numbers that stat shows': (scene) => {
    const folder = scene.folder('folder');
    for (const type of fileTypes) scene.make(type, `${folder}/${type}`);
    scene.opened(folder, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      const entries = sys.getdents(fd);
      const inode = (name: string): bigint => entries.find((entry) => entry.name === name)!.inode;
      assert.equal(inode('.'), sys.stat(folder).inode);
      assert.equal(inode('..'), sys.stat(scene.directory).inode);
      for (const type of fileTypes) assert.equal(inode(type), sys.stat(`${folder}/${type}`).inode);
      assert.equal(entries.length, fileTypes.length + 2);
    });
  },
  'what is there all the time is listed exactly once while other names come and go': (scene) => {
    const stable = Array.from({ length: 800 }, (_, index) => `stable-${index}`);
    for (const name of stable) scene.file(name);
    for (let i = 0; i < 400; i++) scene.file(`goes-${i}`);
    scene.opened(scene.directory, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      const seen: string[] = [];
      let round = 0;
      for (let entries = sys.getdents(fd, 1024); entries.length > 0; entries = sys.getdents(fd, 1024)) {
        seen.push(...entries.map(({ name }) => name).filter((name) => name.startsWith('stable-')));
        if (round < 400) sys.must(sys.unlink(scene.at(`goes-${round}`)));
        if (round < 100) scene.file(`comes-${round}`);
        round++;
      }
      assert.equal(seen.length, new Set(seen).size, 'nothing twice');
      assert.deepEqual(seen.sort(), stable.sort());
    });
  },
  'removing everything while listing removes everything': (scene) => {
    const folder = scene.folder('folder');
    for (let i = 0; i < 1000; i++) scene.file(`folder/file-${i}`);
    scene.opened(folder, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      for (let entries = sys.getdents(fd, 2048); entries.length > 0; entries = sys.getdents(fd, 2048)) {
        for (const { name } of entries) if (!name.startsWith('.')) sys.must(sys.unlink(`${folder}/${name}`));
      }
    });
    gives(sys.rmdir(folder), 0);
  },
  'a listing goes on from where seekdir puts it, and rewinding shows what is new': (scene) => {
    for (let i = 0; i < 300; i++) scene.file(`file-${i}`);
    scene.opened(scene.directory, sys.O.RDONLY | sys.O.DIRECTORY, (fd) => {
      const all: sys.Dirent[] = [];
      for (let entries = sys.getdents(fd, 1024); entries.length > 0; entries = sys.getdents(fd, 1024)) all.push(...entries);
      for (const index of [10, 150, 290]) {
        sys.must(sys.lseek(fd, all[index]!.offset, sys.SEEK.SET));
        assert.equal(sys.getdents(fd, 1024)[0]?.name, all[index + 1]!.name);
      }
      scene.file('new');
      sys.must(sys.lseek(fd, 0, sys.SEEK.SET));
      const again: string[] = [];
      for (let entries = sys.getdents(fd); entries.length > 0; entries = sys.getdents(fd)) again.push(...entries.map(({ name }) => name));
      assert.ok(again.includes('new'));
      assert.equal(again.length, all.length + 1);
    });
  },
  'trees of a hundred levels work': (scene) => {
    let path = scene.directory;
    for (let depth = 0; depth < 100; depth++) sys.must(sys.mkdir((path += `/${depth}`), 0o755));
    assert.equal(sys.stat(path).type, sys.S.IFDIR);
    for (; path !== scene.directory; path = path.slice(0, path.lastIndexOf('/'))) gives(sys.rmdir(path), 0);
  },
};
