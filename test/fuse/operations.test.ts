import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, cpSync, openSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import * as sys from '../suites/posix/syscalls.ts';
import { Mounted } from './mounted.ts';

/** Requests that the kernel is expected to send for the tests below; whatever is new in the kernel may come on top. */
const always = (
  'lookup forget getattr setattr readlink symlink mknod mkdir unlink rmdir rename2 link read write statfs ' +
  'fsync setxattr getxattr listxattr removexattr readdir fsyncdir fallocate readdirplus lseek tmpfile'
).split(' ');
/** And where it does not open, close and lock files by itself. */
const opening = 'open create flush release opendir releasedir getlk setlk setlkw interrupt'.split(' ');

/** The ways that the daemon serves volumes in. */
const modes = [
  { whose: 'of one host', leased: false, expected: always },
  { whose: 'that others may have mounted as well', leased: true, expected: [...always, ...opening] },
] as const;

/** What a program of its own prints. */
function probe(script: string): string {
  return execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 10_000 }).trim();
}

/** One entry of a POSIX ACL. */
function entry(tag: number, permissions: number, id = 0xffff_ffff): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt16LE(tag, 0);
  buffer.writeUInt16LE(permissions, 2);
  buffer.writeUInt32LE(id, 4);
  return buffer;
}

for (const { whose, leased, expected } of modes)
  describe(`every operation on a mount ${whose}`, () => {
    let mounted: Mounted;
    const at = (...names: string[]): string => mounted.path(...names);
    before(async () => {
      mounted = await Mounted.start({ leased });
    });
    after(async () => {
      const { operations, failures } = await mounted.statistics();
      const missing = expected.filter((name) => operations[name] === undefined);
      await mounted[Symbol.asyncDispose]();
      assert.deepEqual(missing, [], 'every operation was served at least once');
      assert.equal(failures, 0, mounted.log);
    });

    test('files are written, read, cut and grown', async () => {
      writeFileSync(at('file'), 'hello world');
      assert.equal(readFileSync(at('file'), 'utf8'), 'hello world');
      assert.equal(sys.truncate(at('file'), 5), 0);
      assert.equal(readFileSync(at('file'), 'utf8'), 'hello');
      assert.equal(sys.truncate(at('file'), 8), 0);
      assert.equal(readFileSync(at('file'), 'latin1'), 'hello\0\0\0');
      const large = Buffer.alloc(5_000_001, 'abcdefg');
      writeFileSync(at('large'), large);
      await mounted.command({ do: 'invalidate', path: '/large', what: 'data' });
      assert.ok(readFileSync(at('large')).equals(large));
    });

    test('a file opened for writing only can have parts of pages replaced, and appended bytes land at the end once', async () => {
      writeFileSync(at('parts'), 'x'.repeat(10_000));
      await mounted.command({ do: 'invalidate', path: '/parts', what: 'data' });
      const fd = sys.must(sys.open(at('parts'), sys.O.WRONLY));
      sys.must(sys.pwrite(fd, 'MIDDLE', 5000));
      sys.must(sys.close(fd));
      const appending = sys.must(sys.open(at('parts'), sys.O.WRONLY | sys.O.APPEND));
      sys.must(sys.write(appending, 'END'));
      sys.must(sys.close(appending));
      const text = readFileSync(at('parts'), 'latin1');
      assert.equal(text.length, 10_003);
      assert.equal(text.slice(4999, 5007), 'xMIDDLEx');
      assert.equal(text.slice(9999), 'xEND');
    });

    test('the block count is right as soon as the file is closed', () => {
      writeFileSync(at('blocks'), Buffer.alloc(1_000_000, 1));
      const { blocks } = sys.stat(at('blocks'));
      assert.ok(blocks * 512 >= 1_000_000, `${blocks} blocks`);
    });

    test('modes, owners and times to the nanosecond', () => {
      writeFileSync(at('attributes'), '');
      assert.equal(sys.chmod(at('attributes'), 0o4751), 0);
      assert.equal(sys.stat(at('attributes')).permissions, 0o4751);
      assert.equal(sys.chown(at('attributes'), 1234, 70_000), 0);
      const owned = sys.stat(at('attributes'));
      assert.deepEqual([owned.uid, owned.gid], [1234, 70_000]);
      assert.equal(sys.utimens(at('attributes'), 1_000_000_000_123_456_789n, -1_500_000_001n), 0);
      const timed = sys.stat(at('attributes'));
      assert.deepEqual([timed.accessed, timed.modified], [1_000_000_000_123_456_789n, -1_500_000_001n]);
      assert.equal(sys.utimens(at('attributes'), 'omit', 'now'), 0);
      const again = sys.stat(at('attributes'));
      assert.equal(again.accessed, 1_000_000_000_123_456_789n);
      assert.ok(BigInt(Date.now()) * 1_000_000n - again.modified < 5_000_000_000n);
    });

    test('links, nodes and devices', () => {
      writeFileSync(at('one'), '1');
      assert.equal(sys.link(at('one'), at('two')), 0);
      assert.equal(sys.stat(at('two')).links, 2);
      assert.equal(sys.stat(at('two')).inode, sys.stat(at('one')).inode);
      assert.equal(sys.symlink('x'.repeat(4000), at('symbolic')), 0);
      assert.equal(sys.readlink(at('symbolic')), 'x'.repeat(4000));
      assert.equal(sys.mkfifo(at('fifo'), 0o640), 0);
      assert.equal(sys.stat(at('fifo')).type, sys.S.IFIFO);
      assert.equal(sys.mknod(at('device'), sys.S.IFBLK | 0o600, 300, 70_000), 0);
      const device = sys.stat(at('device'));
      assert.deepEqual([device.type, device.major, device.minor], [sys.S.IFBLK, 300, 70_000]);
      assert.equal(sys.mknod(at('socket'), sys.S.IFSOCK | 0o600), 0);
      assert.equal(sys.stat(at('socket')).type, sys.S.IFSOCK);
      assert.equal(sys.unlink(at('one')), 0);
      assert.equal(sys.stat(at('two')).links, 1);
    });

    test('directories, and names of 255 bytes', () => {
      assert.equal(sys.mkdir(at('directory'), 0o751), 0);
      const long = 'é'.repeat(127) + 'x';
      writeFileSync(at('directory', long), '');
      assert.deepEqual(readdirSync(at('directory')), [long]);
      assert.equal(sys.mkdir(at('directory', 'y'.repeat(256)), 0o755), 'ENAMETOOLONG');
      assert.equal(sys.rmdir(at('directory')), 'ENOTEMPTY');
      assert.equal(sys.rename(at('directory', Buffer.from(long).toString('latin1')), at('moved')), 0);
      assert.equal(sys.rmdir(at('directory')), 0);
      assert.equal(sys.tryStat(at('directory')), 'ENOENT');
    });

    test('a large directory is listed once, all of it, with names and types', () => {
      sys.must(sys.mkdir(at('many'), 0o755));
      const names = Array.from({ length: 3000 }, (_, index) => `entry-${index}`);
      for (const name of names) closeSync(openSync(at('many', name), 'w'));
      for (let round = 0; round < 2; round++) {
        const listed = readdirSync(at('many'), { withFileTypes: true });
        assert.deepEqual(new Set(listed.map((entry) => entry.name)), new Set(names));
        assert.equal(listed.length, names.length);
        assert.ok(listed.every((entry) => entry.isFile()));
      }
      const fd = sys.must(sys.open(at('many'), sys.O.RDONLY | sys.O.DIRECTORY));
      assert.equal(sys.fsync(fd), 0);
      sys.must(sys.close(fd));
    });

    test('renames: without replacing, and exchanging', () => {
      writeFileSync(at('a'), 'a');
      writeFileSync(at('b'), 'b');
      assert.equal(sys.rename(at('a'), at('b'), sys.RENAME.NOREPLACE), 'EEXIST');
      assert.equal(sys.rename(at('a'), at('b'), sys.RENAME.EXCHANGE), 0);
      assert.deepEqual([readFileSync(at('a'), 'utf8'), readFileSync(at('b'), 'utf8')], ['b', 'a']);
      assert.equal(sys.rename(at('a'), at('b')), 0);
      assert.deepEqual([sys.tryStat(at('a')), readFileSync(at('b'), 'utf8')], ['ENOENT', 'b']);
    });

    test('holes: written behind, sought, punched, zeroed, allocated', () => {
      const fd = sys.must(sys.open(at('sparse'), sys.O.CREAT | sys.O.RDWR, 0o644));
      sys.must(sys.pwrite(fd, 'data', 1 << 20));
      assert.equal(sys.lseek(fd, 0, sys.SEEK.DATA), 1 << 20, 'data that are still in the kernel count');
      assert.equal(sys.lseek(fd, 0, sys.SEEK.HOLE), 0);
      sys.must(sys.fallocate(fd, 0, 2 << 20, 1000));
      assert.equal(sys.stat(fd).size, (2 << 20) + 1000);
      sys.must(sys.fallocate(fd, sys.FALLOCATE.PUNCH_HOLE | sys.FALLOCATE.KEEP_SIZE, 1 << 20, 65_536));
      assert.equal(sys.pread(fd, 4, 1 << 20).text, '\0\0\0\0');
      assert.equal(sys.lseek(fd, 0, sys.SEEK.DATA), 2 << 20);
      assert.equal(sys.lseek(fd, 5 << 20, sys.SEEK.DATA), 'ENXIO');
      assert.equal(sys.fallocate(fd, sys.FALLOCATE.COLLAPSE_RANGE, 0, 4096), 'EOPNOTSUPP');
      assert.equal(sys.fdatasync(fd), 0);
      sys.must(sys.close(fd));
    });

    test('copy_file_range and syncfs', () => {
      writeFileSync(at('source'), 'x'.repeat(200_000));
      const from = sys.must(sys.open(at('source'), sys.O.RDONLY));
      const to = sys.must(sys.open(at('copied'), sys.O.CREAT | sys.O.RDWR, 0o644));
      assert.equal(sys.copyFileRange(from, 1000, to, 5, 100_000), 100_000);
      assert.equal(sys.stat(to).size, 100_005);
      assert.equal(sys.pread(to, 10, 0).text, '\0\0\0\0\0xxxxx');
      assert.equal(sys.syncfs(to), 0);
      sys.must(sys.close(from));
      sys.must(sys.close(to));
    });

    test('unlinked files live until they are closed, and O_TMPFILE ones can get a name', () => {
      const fd = sys.must(sys.open(at('doomed'), sys.O.CREAT | sys.O.RDWR, 0o644));
      sys.must(sys.write(fd, 'still here'));
      sys.must(sys.unlink(at('doomed')));
      assert.equal(sys.pread(fd, 20, 0).text, 'still here');
      assert.equal(sys.stat(fd).links, 0);
      sys.must(sys.close(fd));
      const nameless = sys.must(sys.open(mounted.directory, sys.O.TMPFILE | sys.O.RDWR, 0o600));
      sys.must(sys.write(nameless, 'from nowhere'));
      assert.equal(sys.linkFd(nameless, at('named')), 0);
      sys.must(sys.close(nameless));
      assert.equal(readFileSync(at('named'), 'utf8'), 'from nowhere');
    });

    test('extended attributes', () => {
      writeFileSync(at('xattrs'), '');
      const large = 'v'.repeat(40_000);
      assert.equal(sys.setxattr(at('xattrs'), 'user.one', '1', sys.XATTR.CREATE), 0);
      assert.equal(sys.setxattr(at('xattrs'), 'user.one', '2', sys.XATTR.CREATE), 'EEXIST');
      assert.equal(sys.setxattr(at('xattrs'), 'user.none', '2', sys.XATTR.REPLACE), 'ENODATA');
      assert.equal(sys.setxattr(at('xattrs'), 'user.large', large), 0);
      assert.equal(sys.getxattr(at('xattrs'), 'user.large').text, large);
      assert.equal(sys.getxattr(at('xattrs'), 'user.large', 0).text, '40000');
      assert.equal(sys.getxattr(at('xattrs'), 'user.large', 10).error, 'ERANGE');
      assert.deepEqual([...sys.listxattr(at('xattrs'))].sort(), ['user.large', 'user.one']);
      assert.equal(sys.removexattr(at('xattrs'), 'user.one'), 0);
      assert.equal(sys.getxattr(at('xattrs'), 'user.one').error, 'ENODATA');
    });

    test('a write by another user takes suid and sgid away, and stat shows it at once', () => {
      writeFileSync(at('privileged'), 'x');
      sys.must(sys.chmod(at('privileged'), 0o6777));
      assert.equal(sys.stat(at('privileged')).permissions, 0o6777);
      sys.as(1000, 1000, () => {
        const fd = sys.must(sys.open(at('privileged'), sys.O.WRONLY));
        sys.must(sys.write(fd, 'y'));
        assert.equal(sys.stat(fd).permissions, 0o777);
        sys.must(sys.close(fd));
      });
      assert.equal(sys.stat(at('privileged')).permissions, 0o777);
    });

    test('the kernel checks permissions', () => {
      writeFileSync(at('private'), 'x', { mode: 0o600 });
      assert.equal(
        sys.as(1000, 1000, () => sys.open(at('private'), sys.O.RDONLY)),
        'EACCES',
      );
    });

    test('record locks: in the way, tested, waited for, given up on a signal', async () => {
      writeFileSync(at('locked'), 'x'.repeat(100));
      const fd = sys.must(sys.open(at('locked'), sys.O.RDWR));
      const other = sys.must(sys.open(at('locked'), sys.O.RDWR));
      assert.equal(sys.lock(fd, sys.F.SETLK, { type: 'write', start: 10, length: 10 }).result, 0);
      assert.equal(sys.lock(other, sys.F.OFD_SETLK, { type: 'write', start: 15, length: 1 }).result, 'EAGAIN');
      assert.equal(sys.lock(other, sys.F.OFD_SETLK, { type: 'write', start: 20, length: 0 }).result, 0);
      const source = JSON.stringify(new URL('../suites/posix/syscalls.ts', import.meta.url).pathname);
      const held = probe(`import(${source}).then((s) => {
      const fd = s.open(${JSON.stringify(at('locked'))}, s.O.RDWR);
      console.log(JSON.stringify(s.lock(fd, s.F.GETLK, { type: 'write', start: 0, length: 15 })));
    })`);
      assert.deepEqual(JSON.parse(held), { result: 0, type: 'write', pid: process.pid });
      const waiter = spawn(
        process.execPath,
        [
          '-e',
          `import(${source}).then((s) => {
          const fd = s.open(${JSON.stringify(at('locked'))}, s.O.RDWR);
          console.log('waiting');
          console.log(s.lock(fd, s.F.SETLKW, { type: 'write', start: 10, length: 1 }).result);
        })`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      let said = '';
      waiter.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
      const told = expected.includes('setlkw');
      // Where the kernel keeps the locks nobody but it knows who waits.
      while (told ? (await mounted.statistics()).lockWaits === 0 : said === '') await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(said.trim(), 'waiting');
      waiter.kill('SIGKILL');
      await new Promise((resolve) => waiter.on('exit', resolve));
      assert.equal((await mounted.statistics()).lockWaits, 0, 'the killed process waits no more');
      sys.must(sys.close(fd));
      sys.must(sys.close(other));
      const free = sys.must(sys.open(at('locked'), sys.O.RDWR));
      assert.equal(sys.lock(free, sys.F.OFD_SETLK, { type: 'write', start: 0, length: 0 }).result, 0, 'closing released all');
      sys.must(sys.close(free));
    });

    test('flock between open files', () => {
      const [shared, exclusive, nonBlocking, unlock] = [1, 2, 4, 8];
      writeFileSync(at('flocked'), '');
      const one = sys.must(sys.open(at('flocked'), sys.O.RDWR));
      const two = sys.must(sys.open(at('flocked'), sys.O.RDWR));
      assert.equal(sys.flock(one, shared), 0);
      assert.equal(sys.flock(two, shared | nonBlocking), 0);
      assert.equal(sys.flock(two, exclusive | nonBlocking), 'EAGAIN');
      assert.equal(sys.flock(one, unlock), 0);
      assert.equal(sys.flock(two, exclusive | nonBlocking), 0);
      sys.must(sys.close(two));
      assert.equal(sys.flock(one, exclusive | nonBlocking), 0, 'the close released it');
      sys.must(sys.close(one));
    });

    test('a default ACL decides the mode of new files instead of the umask', () => {
      sys.must(sys.mkdir(at('acl'), 0o755));
      const version = Buffer.from([2, 0, 0, 0]);
      const acl = Buffer.concat([version, entry(1, 7), entry(2, 6, 1000), entry(4, 5), entry(16, 6), entry(32, 0)]);
      assert.equal(sys.setxattr(at('acl'), 'system.posix_acl_default', acl), 0);
      writeFileSync(at('acl', 'file'), 'secret', { mode: 0o666 });
      assert.equal(sys.stat(at('acl', 'file')).permissions, 0o660);
      const openAs = (uid: number): sys.Result => sys.as(uid, uid, () => sys.open(at('acl', 'file'), sys.O.RDWR));
      assert.equal(openAs(1001), 'EACCES');
      sys.must(sys.close(sys.must(openAs(1000))));
    });

    test('shared memory maps, statfs, and a tree copied there and back', () => {
      assert.ok(statfsSync(mounted.directory).bavail > 0);
      const source = new URL('../../src/fuse', import.meta.url).pathname;
      cpSync(source, at('tree'), { recursive: true });
      execFileSync('diff', ['-r', source, at('tree')]);
      execFileSync('rm', ['-r', at('tree')]);
    });
  });
