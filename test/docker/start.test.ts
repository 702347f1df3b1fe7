/** The first page of the README on a host of its own: `npm start` in a clone, and volumes for containers. */
import assert from 'node:assert/strict';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { clusterForm, HostDaemon } from './cluster-hosts.ts';
import { socketPlugin } from './chosen-form.ts';
import type { LabHost } from './host.ts';
import { DockerLab } from './lab.ts';
import { directoryForm } from './plugin-forms.ts';
import type { HostProcess } from './namespaces.ts';
import { eventually, type Outcome } from './process.ts';
import { Scene, writeAndSync } from './scene.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');

/** In place of npm: says that there is no network while there is a file `offline`, else "installs" the modules of this project. */
const npm = `#!/bin/sh
cd "$(dirname "$0")/.."
case "$1" in
config) echo https://registry.example.invalid ;;
install) [ ! -e offline ] || exit 1; echo "$@" >> installed; ln -s ${projectRoot}/node_modules clone/node_modules ;;
esac
`;

/** In place of apt-get on a host whose compiler is hidden: fails while there is a file `no-mirror`, else "installs" it. */
const apt = `#!/bin/sh
cd "$(dirname "$0")/.."
[ ! -e no-mirror ] || { echo "E: Failed to fetch" >&2; exit 100; }
case "$1" in install) umount /usr/bin/cc; echo "$@" >> compiled ;; esac
`;

/** A clone of this project without modules and without the add-on, on a host with a /usr/local of its own. */
class Clone {
  readonly host: LabHost;
  readonly #local: string;
  readonly directory: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(host: LabHost) {
    this.host = host;
    this.directory = path.join(host.directory, 'clone');
    this.#local = path.join(host.directory, 'local');
    const programs = path.join(host.directory, 'programs');
    for (const directory of [this.directory, this.#local, programs]) mkdirSync(directory);
    for (const part of ['package.json', 'package-lock.json', '.npmrc', 'config.json', 'src', 'plugin'])
      cpSync(path.join(projectRoot, part), path.join(this.directory, part), { recursive: true });
    // As after a clone and an installation, whenever the modules of this machine were installed.
    utimesSync(path.join(this.directory, 'package-lock.json'), 0, 0);
    for (const [name, text] of Object.entries({ npm, 'apt-get': apt })) {
      writeFileSync(path.join(programs, name), text);
      chmodSync(path.join(programs, name), 0o755);
    }
    this.#env = {
      PATH: `${programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      INFINIT_STATE_DIR: path.join(host.directory, 'state'),
      INFINIT_MOUNT_DIR: path.join(host.directory, 'mounts'),
      INFINIT_DOCKER_SOCKET: host.dockerSocket,
      INFINIT_LISTEN: 'none',
    };
  }

  /** After each start of the host. */
  async mountLocal(): Promise<void> {
    await this.host.must('mount', ['--bind', this.#local, '/usr/local']);
  }

  /** What `npm start`, and `npm run` with another script, runs. */
  #script(name: string): string {
    const { scripts } = JSON.parse(readFileSync(path.join(this.directory, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
    return `cd ${this.directory} && ${scripts[name]!}`;
  }

  /** A start that ends by itself. */
  refused(...through: string[]): Promise<Outcome> {
    return this.host.run('env', [...through, 'sh', '-c', this.#script('start')], { env: this.#env });
  }

  createPlugin(...flags: string[]): Promise<string> {
    const env = { ...this.#env, DOCKER_HOST: `unix://${this.host.dockerSocket}` };
    return this.host.must('sh', ['-c', `${this.#script('plugin:create')} ${flags.join(' ')}`], { env });
  }

  link(): Promise<string> {
    return this.host.must('sh', ['-c', this.#script('link')], { env: this.#env });
  }

  async start(): Promise<HostProcess> {
    const started = await this.host.spawn('start', 'sh', ['-c', this.#script('start')], this.#env);
    await eventually(
      'infinit is on the path and its daemon answers',
      async () => {
        if (started.child.exitCode !== null) throw new Error(`it ended: ${this.host.log('start').slice(-2000)}`);
        return (await this.host.run('infinit', ['status'], { env: this.#env })).code === 0 ? true : undefined;
      },
      120_000,
    );
    return started;
  }

  infinit(...args: string[]): Promise<string> {
    return this.host.must('infinit', args, { env: this.#env });
  }
}

test(
  'in a clone npm start installs what is missing, puts infinit on the path and serves volumes, and does so again after a reboot',
  { skip: socketPlugin === directoryForm },
  async () => {
    await using lab = await DockerLab.up({ hosts: 1 });
    const { host } = lab;
    const clone = new Clone(host);
    await clone.mountLocal();

    for (const directory of [lab.directory, host.directory]) chmodSync(directory, 0o711);
    const unprivileged = await clone.refused('setpriv', '--reuid=65534', '--clear-groups');
    assert.deepEqual([unprivileged.code, /needs root: sudo npm start/.test(unprivileged.stderr)], [1, true], unprivileged.stderr);
    writeFileSync(path.join(host.directory, 'offline'), '');
    const offline = await clone.refused();
    assert.deepEqual([offline.code, /could not be installed/.test(offline.stderr)], [1, true], offline.stderr);
    await host.must('rm', [path.join(host.directory, 'offline')]);
    await host.must('mount', ['--bind', '/dev/null', '/usr/bin/cc']);
    writeFileSync(path.join(host.directory, 'no-mirror'), '');
    const without = await clone.refused();
    assert.deepEqual([without.code, /C compiler could not be installed: install gcc/.test(without.stderr)], [1, true], without.stderr);
    await host.must('rm', [path.join(host.directory, 'no-mirror')]);

    // Either way to run it may be the first.
    const created = await clone.createPlugin('--no-enable', '--state-dir', path.join(host.directory, 'managed-state'));
    assert.match(created, /plugin infinit created.*\n.*--control-socket .*managed-state\/control\.sock status/);
    await host.mustDocker(['plugin', 'rm', 'infinit']);
    assert.match(readFileSync(path.join(host.directory, 'compiled'), 'utf8'), /^install .* gcc libc6-dev\n$/);
    await clone.start();
    assert.match(await host.must('/usr/local/lib/docker/cli-plugins/docker-infinit', ['docker-cli-plugin-metadata']), /"SchemaVersion"/);
    const s = new Scene(host, clusterForm, new HostDaemon(host, '127.0.0.1'));
    await s.create('data');
    await s.sh('data', 'echo hello > /data/f');
    assert.equal(await s.sh('data', 'cat /data/f'), 'hello');
    assert.deepEqual(await s.names(), ['data']);
    assert.equal((await s.inspect('data')).Driver, 'infinit');
    await s.linger('always', 'data', '--restart=always');
    await s.docker('exec', 'always', 'sh', '-c', writeAndSync);
    const place = path.join(host.directory, 'place');
    mkdirSync(place);
    await clone.infinit('volume', 'create', 'own');
    await clone.infinit('volume', 'mount', 'own', place);

    // Before an upgrade, whose daemon is to find all of it compiled.
    const cache = path.join(clone.directory, 'build/compile-cache');
    rmSync(cache, { recursive: true });
    await clone.link();
    assert.ok(existsSync(path.join(cache, 'compiled')));

    assert.doesNotMatch(host.log('start'), /no Docker Engine/);
    await host.reboot();
    // As /run is empty then.
    rmSync(host.dockerSocket, { force: true });
    await clone.mountLocal();
    await clone.start();
    assert.match(host.log('start'), /no Docker Engine at \S+: the plugin waits for one/);
    await host.startDocker();
    await eventually('the container runs', async () => ((await s.docker('ps', '-q', '--filter', 'name=always')) === '' ? undefined : true));
    assert.equal(await s.docker('exec', 'always', 'cat', '/data/f'), 'kept');
    // Nobody is left to unmount it.
    await clone.infinit('volume', 'rm', '-f', 'own');
    await s.docker('rm', '-f', 'always');
    await s.removes('data');
    const installed = readFileSync(path.join(host.directory, 'installed'), 'utf8').trim().split('\n');
    assert.equal(installed.length, 1, 'what is there is not installed again');
    assert.match(installed[0]!, /^install --no-save /);
  },
);
