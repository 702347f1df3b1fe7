import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, symlinkSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { DaemonProcess, type Ended } from './daemon-process.ts';
import { sh } from './programs.ts';

// One after the other: a cluster is not founded while a volume is mounted.
suite('the command line', () => {
  let daemon: DaemonProcess;

  const infinit = (...words: string[]): Promise<Ended> => daemon.infinit(...words);
  const says = (...words: string[]): Promise<string> => daemon.says(...words);

  before(async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'infinit-cli-'));
    await chmod(directory, 0o711);
    daemon = await DaemonProcess.start(directory);
    for (const name of ['colour-blue', 'colour-green']) await daemon.client.createVolume(name, { size: '1G' });
  });
  after(() => daemon[Symbol.asyncDispose]());

  test('scrub reads everything and says what it found; salvage lists, and is forced only where somebody says yes', async () => {
    assert.match(await says('scrub', '--rate', '100'), /^[1-9]\d* blocks, .* read, 0 damaged, 0 replaced since the start$/);
    assert.match(await says('salvage'), /^[1-9]\d* mutable blocks of this host: 0 without a majority in reach, 0 rewritten, 0 given up$/);
    const { code, err } = await infinit('salvage', '--force');
    assert.equal(code, 1);
    assert.match(err, /nothing was changed: without a terminal say --yes/);
    assert.match(await says('salvage', '--force', '--yes'), /0 without a majority in reach, 0 rewritten, 0 given up$/);
    const wrong = await infinit('salvage', '--lost', 'nobody');
    assert.equal(wrong.code, 3);
    assert.match(wrong.err, /there is no host "nobody"/);
  });

  test('ls lists names, tables, an object a line and templates, and filters', async () => {
    assert.equal(await says('volume', 'ls', '-q', '-f', 'name=colour-bl'), 'colour-blue');
    const [header, row] = (await says('volume', 'ls', '--filter', 'name=colour-green', '--filter', 'mounted=false')).split('\n');
    assert.match(header!, /^DRIVER +VOLUME NAME +SIZE +REPLICAS +MOUNTED ON +HEALTH$/);
    assert.match(row!, /^infinit +colour-green +1G +1 +HEALTHY$/);
    const lines = (await says('volume', 'ls', '--filter', 'name=colour', '--format', 'json'))
      .split('\n')
      .map((line) => JSON.parse(line) as { Name: string });
    assert.deepEqual(
      lines.map(({ Name }) => Name),
      ['colour-blue', 'colour-green'],
    );
    assert.equal(await says('volume', 'ls', '-f', 'name=colour-blue', '--format', '{{.Name}}:{{.Size}}'), 'colour-blue:1G');
    assert.equal((JSON.parse(await says('volume', 'inspect', 'colour-blue', 'colour-green')) as unknown[]).length, 2);
    assert.equal(await says('volume', 'inspect', 'colour-blue', '--format', '{{.Options.Size}}'), '1G');
  });

  test('hosts are listed by name, state and zone', async () => {
    const [self] = await daemon.client.listNodes();
    assert.equal(await says('node', 'ls', '-q', '-f', `name=${self!.name}`, '-f', `state=${self!.state}`, '-f', 'zone=default'), self!.peer);
    for (const none of ['name=never-made', 'state=down', 'zone=other']) assert.equal(await says('node', 'ls', '-q', '--filter', none), '');
  });

  test('what is no format is refused, and sizes are numbers to programs', async () => {
    assert.equal((await infinit('volume', 'inspect', 'colour-blue', '--format', 'table')).code, 2);
    assert.match(await says('volume', 'ls', '--format', 'table {{.Name}}\\t{{.Size}}'), /^VOLUME NAME +SIZE\ncolour-blue +1G$/m);
    assert.deepEqual(JSON.parse(await says('volume', 'usage', 'colour-blue', '--format', 'json')), {
      Name: 'colour-blue',
      Used: 0,
      Size: 1024 ** 3,
      Inodes: 0,
    });
    assert.equal(await says('salvage', '--format', '{{.Address}}'), '');
    assert.equal(typeof (JSON.parse(await says('node', 'ls', '--format', 'json')) as { Capacity: unknown }).Capacity, 'number');
  });

  test('an option without its -o makes no volume', async () => {
    const { code, out, err } = await infinit('volume', 'create', 'unbound', 'size=1G');
    assert.deepEqual([code, out, err], [2, '', 'infinit: bad-argument: "size=1G" is no volume name: say -o size=1G; nothing was created\n']);
    assert.equal(await says('volume', 'ls', '-q', '-f', 'name=unbound'), '');
    assert.equal((await infinit('volume', 'update', 'colour-blue', 'sticky=true', '-o', 'size=2G')).code, 2);
    assert.match((await infinit('volume', 'create', 'unbound', '-o', 'size')).err, /^infinit: bad-argument: option "size" needs a value: /);
    assert.match((await infinit('volume', 'create', 'colour-blue', '-o', 'size=2048M')).err, /exists with other options: size is 1G, not 2048M$/m);
    assert.match((await infinit('volume', 'check', 'colour-blue')).err, /^infinit: not-found: volume "colour-blue" was never mounted/);
    await says('volume', 'create', 'switched', '-o', 'readonly');
    assert.equal(await says('volume', 'inspect', 'switched', '--format', '{{.Options.Readonly}}'), 'true');
    assert.equal(await says('volume', 'inspect', 'colour-blue', '--format', '{{.Options.Size}}'), '1G');
  });

  test('a verb with several names goes on past a failure, and tells it apart', async () => {
    const { code, out, err } = await infinit('volume', 'create', 'one', 'b/ad', 'two');
    assert.deepEqual([code, out], [1, 'one\ntwo\n']);
    assert.match(err, /^infinit: bad-argument: "b\/ad" is no volume name/);
    assert.deepEqual(await infinit('volume', 'rm', '-f', 'one', 'never-made', 'two'), { code: 0, out: 'one\nnever-made\ntwo\n', err: '' });
    assert.equal((await infinit('volume', 'rm', 'never-made')).code, 3);
  });

  test('a volume whose key is not here is mounted nowhere, and keeps none of the others out of a list', async () => {
    await says('volume', 'create', 'sealed', '-o', 'encrypted');
    await says('volume', 'create', 'plain');
    await rm(path.join(daemon.directory, 'state', 'keys'), { recursive: true });
    const refused = await infinit('volume', 'mount', 'sealed', path.join(daemon.directory, 'deep', 'below'));
    assert.match(refused.err, /^infinit: wrong-key: volume "sealed" is encrypted and its key is not on this host/);
    assert.equal(existsSync(path.join(daemon.directory, 'deep')), false);
    const { code, out, err } = await infinit('volume', 'usage', '--format', '{{.Name}}');
    assert.equal(code, 0);
    assert.ok(out.includes('plain') && !out.includes('sealed'), out);
    assert.match(err, /^infinit: left out: volume "sealed" is encrypted and its key is not on this host/);
    assert.notEqual((await infinit('volume', 'usage', 'sealed')).code, 0);
    await says('volume', 'rm', 'sealed', 'plain');
  });

  test('a volume lives: mount on a directory, usage, check, update, unmount, removal, and back from the trash', async () => {
    const place = path.join(daemon.directory, 'here');
    assert.equal(await says('volume', 'create', 'life', '-o', 'size=2M'), 'life');
    assert.equal(await says('volume', 'mount', 'life', place), place);
    await sh(`echo hello > ${place}/f; sync ${place}/f`);
    assert.equal((await infinit('volume', 'rm', 'life')).code, 4);
    await says('volume', 'update', 'life', '-o', 'size=4M');
    assert.match(await says('volume', 'usage', 'life'), /life +4\.00 KiB +4\.00 MiB +2/);
    assert.match(await says('volume', 'check', 'life'), /life +1 +1 +6 B +0 blocks, 0 B +0$/m);
    const wrong = await infinit('volume', 'unmount', 'life', `${place}-too`);
    assert.equal(wrong.code, 3);
    assert.ok(wrong.err.includes(`volume "life" is not mounted at ${place}-too, but at ${place}`), wrong.err);
    assert.ok((await infinit('volume', 'rm', 'life')).err.includes(`by the mount at ${place}`));
    assert.equal(await says('volume', 'unmount', 'life', place), place);
    assert.equal((await infinit('volume', 'unmount', 'life', place)).code, 3);
    for (const file of [`${place}-file`, `${place}-file/below`]) {
      await writeFile(`${place}-file`, '');
      const refused = await infinit('volume', 'mount', 'life', file);
      assert.deepEqual([refused.code, refused.err], [2, `infinit: bad-argument: ${file} is no directory\n`]);
    }
    const link = `${place}-link`;
    symlinkSync(place, link);
    assert.equal(await says('volume', 'mount', 'life', link), place);
    assert.equal(await says('volume', 'unmount', 'life', link), place);
    await unmountInOtherWays(place);
    const mistyped = await infinit('volume', 'check', 'lifr');
    assert.deepEqual([mistyped.code, mistyped.out, mistyped.err], [3, '', 'infinit: not-found: there is no volume "lifr": did you mean "life"?\n']);
    assert.match(await says('volume', 'usage'), /life +6 B +4\.00 MiB +2/);
    assert.equal(await says('volume', 'rm', 'life'), 'life');
    assert.match(await says('volume', 'trash', 'ls'), /^life +[0-9a-f]{32} +\S+ +\S+ +kept$/m);
    assert.equal(await says('volume', 'trash', 'restore', 'life', '--as', 'second-life'), 'second-life');
    assert.equal(await says('volume', 'rm', 'second-life'), 'second-life');
    const unasked = await infinit('volume', 'trash', 'empty', 'second-life');
    assert.deepEqual([unasked.code, unasked.err], [1, 'infinit: cancelled: nothing was deleted: without a terminal say --yes\n']);
    assert.match(await says('volume', 'trash', 'empty', '--yes', 'second-life'), /second-life/);
    assert.equal((await infinit('volume', 'trash', 'restore', 'second-life')).code, 3);
  });

  /** Of a volume `life` that is mounted nowhere. */
  async function unmountInOtherWays(place: string): Promise<void> {
    await says('volume', 'mount', 'life', place);
    for (const name of ['life', 'colour-blue']) {
      const twice = await infinit('volume', 'mount', name, place);
      assert.equal(twice.code, 4);
      assert.match(twice.err, /^infinit: in-use: volume "life" is mounted at .* already/);
    }
    assert.equal(await says('volume', 'inspect', 'colour-blue', '--format', '{{json .holders}}'), '[]');
    assert.equal(await says('volume', 'unmount', place), place);
    assert.deepEqual((await infinit('volume', 'unmount', place)).err, `infinit: not-found: no volume is mounted at ${place}\n`);
    const unknown = await infinit('volume', 'unmount', 'nope');
    assert.deepEqual([unknown.code, unknown.err], [3, 'infinit: not-found: no volume "nope" is mounted, and nothing at that path\n']);
    await says('volume', 'mount', 'life', place);
    const second = `${place} too`;
    await sh(`mkdir '${second}'; touch '${second}/hidden'`);
    assert.match((await infinit('volume', 'mount', 'life', second)).err, /too is not empty: what is in it is hidden as long as/);
    const which = await infinit('volume', 'unmount', 'life');
    assert.deepEqual([which.code, which.err.includes(place), which.err.includes(second)], [2, true, true]);
    assert.equal(await says('volume', 'unmount', second), second);
    const reader = spawn('sleep', ['60'], { cwd: place });
    await once(reader, 'spawn');
    const busy = await infinit('volume', 'unmount', 'life');
    assert.deepEqual([busy.code, busy.err.startsWith('infinit: in-use: ')], [4, true], busy.err);
    reader.kill();
    await once(reader, 'exit');
    assert.equal(await says('volume', 'unmount', 'life'), place);
    assert.equal((await infinit('volume', 'unmount', 'life')).code, 3);
  }

  test('a daemon that may not write where its state is says once that it wants to be root', async () => {
    // It may read everything, so that it finds the program wherever that is.
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
    const state = path.join(daemon.directory, 'of-root');
    const flags = ['--state-dir', state, '--mount-dir', state, '--control-socket', `${state}/socket`, '--plugin-socket', 'none', '--listen', 'none'];
    const { stderr, status } = spawnSync('setpriv', [...nobody, process.execPath, 'src/cli/main.ts', 'daemon', ...flags], { encoding: 'utf8' });
    assert.equal(stderr, `infinit: denied: run this as root: no right to make the directory ${state}\n`);
    assert.equal(status, 1);
  });

  test('completion knows verbs, flags, living volumes and removed ones', async () => {
    assert.match(await says('__complete', '--', 'volume', ''), /^check\ncreate\ninspect\nls\n/);
    assert.match(await says('__complete', '--', 'volume', 'inspect', 'colour-bl'), /^colour-blue$/);
    assert.match(await says('__complete', '--', 'volume', 'create', '--o'), /^--opt$/);
    assert.equal(await says('__complete', '--', 'volume', 'create', 'new', '-o', 'si'), 'size=');
    assert.equal(await says('__complete', '--', 'volume', 'mount', 'colour-blue', ''), '', 'directories are the shell’s');
    assert.equal(await says('__complete', '--', 'block', 'rm', ''), '');
    assert.equal(
      await says('__complete', '--', 'node', 'inspect', ''),
      await says('node', 'ls', '--format', '{{json .Name}}').then((name) => JSON.parse(name) as string),
    );
    await says('volume', 'create', 'gone-soon');
    await says('volume', 'rm', 'gone-soon');
    assert.match(await says('__complete', '--', 'volume', 'trash', 'restore', 'gone'), /^gone-soon$/);
    for (const shell of ['bash', 'zsh', 'fish']) assert.match(await says('completion', shell), /infinit __complete --/);
  });

  test('status is one object to programs, and both versions are told', async () => {
    const status = JSON.parse(await says('status', '--format', 'json')) as { health: { state: string }; hosts: { version: string }[] };
    assert.equal(status.health.state, await says('status', '--format', '{{.Health.State}}'));
    const { version } = await daemon.client.status();
    const told = (await says('version')).replaceAll(/: +/g, ': ');
    assert.ok(told.startsWith(`Client: ${version}\nServer: ${version} (`), told);
    assert.equal(await says('version', '--format', '{{.Server.Version}}'), status.hosts[0]!.version);
  });

  test('docker finds it as `docker infinit`', async () => {
    assert.equal((JSON.parse(await says('docker-cli-plugin-metadata')) as { SchemaVersion: string }).SchemaVersion, '0.1.0');
    assert.equal(await says('infinit', 'volume', 'ls', '-q', '-f', 'name=colour-blue'), 'colour-blue');
    const remote = await infinit('--context', 'far-away', 'infinit', 'volume', 'ls', '-q', '-f', 'name=colour-blue');
    assert.equal(remote.out, 'colour-blue\n');
    assert.match(remote.err, /"far-away" is docker's choice of an engine; this talks to the daemon of this host/);
  });

  test('founding says who it is; a token goes to a new file, and nobody joins without one', async () => {
    assert.match(await says('node', 'ls', '--format', '{{.Name}} {{.State}}'), / alone$/);
    const nobody = await infinit('cluster', 'grant', '--all');
    assert.deepEqual([nobody.code, nobody.err], [1, 'infinit: denied: this host belongs to no cluster: `infinit cluster init` makes one\n']);
    const founded = await infinit('cluster', 'init');
    assert.match(founded.out, /^[\w-]{43}\n$/);
    const keyFile = path.join(daemon.directory, 'state', 'cluster', 'cluster.key');
    assert.ok(founded.err.includes(`key is ${keyFile}: keep a copy`), founded.err);
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600);
    assert.match(await says('node', 'ls', '--format', '{{.State}}'), /^up$/);
    const file = path.join(daemon.directory, 'invitation');
    const instantly = await infinit('cluster', 'token', 'create', file, '--expires', '0d');
    assert.deepEqual([instantly.code, instantly.err], [2, 'infinit: bad-argument: --expires: "0d" is no time such as 90m, 24h or 7d\n']);
    assert.match(await says('cluster', 'token', 'create', file), /^[0-9a-f]{16}$/);
    assert.match(await says('cluster', 'token', 'ls'), /^[0-9a-f]{16} +open +store,write +0 of 1 /m);
    assert.match(await says('__complete', '--', 'cluster', 'token', 'revoke', ''), /^[0-9a-f]{16}$/);
    assert.equal((await infinit('cluster', 'grant', 'nobody')).code, 3);
    assert.equal((await infinit('cluster', 'grant')).code, 2);
    const { mode } = await stat(file);
    assert.equal(mode & 0o777, 0o600);
    const text = await readFile(file, 'utf8');
    const again = await infinit('cluster', 'token', 'create', file);
    assert.deepEqual([again.code, again.err], [2, `infinit: bad-argument: ${file} exists already: name another file\n`]);
    assert.equal(await readFile(file, 'utf8'), text);
    const other = `${file}-2`;
    assert.equal((await infinit('cluster', 'token', 'create', other, '--uses', '0')).code, 2);
    await assert.rejects(stat(other), { code: 'ENOENT' });
    const without = await infinit('cluster', 'join', other);
    assert.equal(without.code, 2);
    assert.equal(without.err, `infinit: bad-argument: cannot read the token file ${other}: there is no such file or directory (ENOENT)\n`);
  });

  test('a token that cannot be written is taken back: nobody is let in by one that nobody has', async () => {
    const full = path.join(daemon.directory, 'full');
    await sh(`mkdir ${full}; mount -t tmpfs -o size=4k none ${full}; head -c 4096 /dev/zero > ${full}/filler`);
    try {
      const before = (await daemon.client.listTokens()).filter(({ state }) => state === 'open').length;
      const file = path.join(full, 'invitation');
      const { code, err } = await infinit('cluster', 'token', 'create', file);
      assert.equal(code, 2);
      assert.match(
        err,
        /^infinit: bad-argument: the token cannot be written to .*: there is no room left on the device \(ENOSPC\); it was taken back\n$/,
      );
      assert.equal((await daemon.client.listTokens()).filter(({ state }) => state === 'open').length, before);
      await assert.rejects(stat(file), { code: 'ENOENT' });
    } finally {
      await sh(`umount ${full}`);
    }
  });

  test('a host that is told to expel itself says that it cannot before it asks', async () => {
    const [self] = await daemon.client.listNodes();
    const { code, err } = await infinit('node', 'rm', self!.name);
    assert.equal(code, 2);
    assert.match(err, /^infinit: bad-argument: .* is this host, which cannot expel itself: .*\n$/);
    assert.equal((await daemon.client.listNodes()).length, 1);
  });

  test('what there is not is said before anything is asked or made', async () => {
    const place = path.join(daemon.directory, 'of-no-volume');
    const { code, err } = await infinit('volume', 'mount', 'never-made', place);
    assert.deepEqual([code, err.startsWith('infinit: not-found: there is no volume "never-made"')], [3, true], err);
    await assert.rejects(stat(place), { code: 'ENOENT' });
    // The directory is taken, but that says nothing about a volume that there is not.
    const taken = path.join(daemon.directory, 'taken');
    await says('volume', 'mount', 'colour-blue', taken);
    assert.equal((await infinit('volume', 'mount', 'never-made', taken)).code, 3);
    await says('volume', 'unmount', taken);
    const host = await infinit('node', 'rm', 'nobody');
    assert.deepEqual([host.code, host.err], [3, 'infinit: not-found: there is no host "nobody": see `infinit node ls`\n']);
    const removed = await infinit('volume', 'trash', 'empty', 'nothing');
    assert.equal(removed.code, 3);
    assert.match(removed.err, /^infinit: not-found: there is no volume "nothing" in the trash/);
  });

  test('a person is asked about what there is, and a no removes nothing', async () => {
    await says('volume', 'create', 'asked-for');
    const onTerminal = (answer: string, ...words: string[]): { readonly status: number | null; readonly stdout: string } =>
      spawnSync('script', ['-qec', [process.execPath, 'src/cli/main.ts', ...words].join(' '), '/dev/null'], {
        input: answer,
        encoding: 'utf8',
        env: { ...process.env, INFINIT_CONTROL_SOCKET: daemon.controlSocket },
      });
    const no = onTerminal('n\n', 'volume', 'rm', 'asked-for', 'never-made');
    assert.match(no.stdout, /there is no volume "never-made"[^]*Remove asked-for\? \[y\/N\][^]*nothing was removed/);
    assert.notEqual(no.status, 0);
    assert.equal(await says('volume', 'ls', '-q', '-f', 'name=asked-for'), 'asked-for');
    const yes = onTerminal('', 'volume', 'rm', '--yes', 'asked-for');
    assert.deepEqual([yes.status, yes.stdout], [0, 'asked-for\r\n']);
    assert.equal(await says('volume', 'ls', '-q', '-f', 'name=asked-for'), '');
  });

  test('a directory that cannot be made is named, and nothing is tried for ever', async () => {
    const hiding = await infinit('volume', 'mount', 'colour-blue', daemon.directory);
    assert.deepEqual([hiding.code, hiding.err.includes('would hide ')], [2, true], hiding.err);
    const { code, err } = await infinit('volume', 'mount', 'colour-blue', '/proc/no/such');
    assert.deepEqual(
      [code, err],
      [2, 'infinit: bad-argument: /proc/no/such cannot be made: there are no directories of one’s own in that file system\n'],
    );
  });

  test('doctor finds nothing to mend where all is well, and says what to do where no daemon answers', async () => {
    const well = JSON.parse(aloneHere('doctor', '--docker-socket', 'none', '--format', 'json')) as {
      topic: string;
      level: string;
      advice?: string;
    }[];
    for (const topic of ['kernel', 'rights', 'fuse', 'mount', 'clock', 'mounts', 'daemon', 'health', 'disk'])
      assert.ok(
        well.some((finding) => finding.topic === topic),
        topic,
      );
    assert.match(aloneHere('doctor', '--docker-socket', 'none'), /^\[ ok \] rights +running as root$/m);
    const nowhere = path.join(daemon.directory, 'nowhere.sock');
    const without = await infinit('--control-socket', nowhere, 'doctor', '--docker-socket', nowhere);
    assert.equal(without.code, 1);
    assert.match(without.out, /^\[FAIL\] daemon .*\n +→ start it: `sudo npm start`/m);
    assert.match(without.out, /^\[WARN\] docker +no Docker Engine at .*nowhere\.sock\n +→ /m);
  });

  /** What `infinit …` says that succeeds, where only this daemon's volumes are mounted: other tests leave mounts dead for a while, and the doctor looks at all there are. */
  function aloneHere(...words: string[]): string {
    const withoutOthers = String.raw`while read -r _ place type _; do
      case "$type $place" in "fuse.infinit $0/"*) ;; fuse.infinit*) umount -cl "$(printf %b "$place")" ;; esac
    done < /proc/self/mounts; exec "$@"`;
    const program = [process.execPath, 'src/cli/main.ts', '--control-socket', daemon.controlSocket, ...words];
    const child = spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', withoutOthers, daemon.directory, ...program], {
      encoding: 'utf8',
    });
    assert.equal(child.status, 0, child.stdout + child.stderr);
    return child.stdout;
  }

  test('without a daemon it says how to start one', async () => {
    const { code, err } = await infinit('--control-socket', '/nowhere/control.sock', 'volume', 'ls');
    assert.equal(code, 5);
    assert.match(err, /^infinit: unavailable: no daemon answers on \/nowhere\/control\.sock: start one with `infinit daemon`/);
  });
});
