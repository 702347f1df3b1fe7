/**
 * `npm run plugin:create`: registers this project as the managed plugin `infinit` of the local engine, without a registry.
 * `--name NAME`, `--state-dir DIR` (made if absent: the engine wants it to exist), `--no-enable`, `--keep DIR` (only assemble, there).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { InfinitError, messageOf } from '../src/base/index.ts';
import { forgetSocketVolumes } from './forget-socket.ts';
import { managedConfig } from './managed-config.ts';
import { assembleRootfs } from './managed-rootfs.ts';
import { storeHolder } from './store-holder.ts';

/** How long a plugin that was just taken away, or a daemon that was told to stop, may still be ending, and how often that is looked at, in ms. */
const [endingMs, lookMs] = [5000, 100];
const defaultStateDir = '/var/lib/infinit';
const projectRoot = path.resolve(import.meta.dirname, '..');

function docker(...args: string[]): string {
  const { status, error, stdout, stderr } = spawnSync('docker', args, { encoding: 'utf8' });
  if (error !== undefined) throw new InfinitError('unsupported', `there is no docker command: ${error.message}`);
  if (status !== 0) throw new InfinitError('unavailable', `docker ${args.slice(0, 2).join(' ')}: ${stderr.trim()}`);
  return stdout;
}

/** What the engine would say in riddles, or only in its log, once all is assembled. @throws InfinitError `in-use`, `unavailable`. */
async function refuseHindrances(name: string, stateDir: string): Promise<void> {
  // The engine's names all end in a tag; `infinit` alone is `infinit:latest`.
  const tagged = name.includes(':') ? name : `${name}:latest`;
  if (docker('plugin', 'ls', '--format', '{{.Name}}').split('\n').includes(tagged))
    throw new InfinitError(
      'in-use',
      `the engine has a plugin ${name}: \`docker plugin enable ${name}\` switches it on; \`docker plugin disable -f ${name} && docker plugin rm ${name}\` makes room for this one`,
    );
  let holder = storeHolder(stateDir);
  for (let waited = 0; holder !== undefined && waited < endingMs; waited += lookMs) {
    await sleep(lookMs);
    holder = storeHolder(stateDir);
  }
  if (holder !== undefined)
    throw new InfinitError(
      'in-use',
      `process ${holder} uses the state directory ${stateDir}: stop that daemon, and keep its unit from starting it again, or give another --state-dir`,
    );
}

/** Registers what was assembled, and leaves no half-made plugin in the way of the next try. */
function register(name: string, directory: string, stateDir: string, enable: boolean): void {
  docker('plugin', 'create', name, directory);
  try {
    docker('plugin', 'set', name, `state.source=${stateDir}`);
    if (enable) docker('plugin', 'enable', name);
  } catch (error) {
    const why = "the engine's log has the plugin's own words (`journalctl -u docker`)";
    throw new InfinitError('unavailable', `${messageOf(error)}: ${why}; ${takenAway(name)}`, { cause: error });
  }
}

/** Takes a half-made plugin away, and says how that went: why it is half made is the graver news, which no second failure may hide. */
function takenAway(name: string): string {
  try {
    docker('plugin', 'rm', '-f', name);
    return 'the plugin was taken away again';
  } catch (error) {
    return `the plugin could not be taken away either (${messageOf(error)}): \`docker plugin rm -f ${name}\` before the next try`;
  }
}

/**
 * Whether the engine takes the name for a daemon's socket. It keeps such a driver, and prefers it to a managed plugin, until it is started again; managed
 * plugins are not in this list.
 */
function remembersSocket(name: string): boolean {
  return (JSON.parse(docker('info', '--format', '{{json .Plugins.Volume}}')) as readonly string[] | null)?.includes(name) ?? false;
}

function sayWhatNext(name: string, stateDir: string, enabled: boolean): void {
  console.log(
    enabled
      ? `plugin ${name} enabled: docker volume create -d ${name} NAME`
      : `plugin ${name} created; next: docker plugin set ${name} NAME=VALUE, then docker plugin enable ${name}`,
  );
  if (stateDir !== defaultStateDir)
    console.log(`the command line reaches it so: infinit --control-socket ${path.join(stateDir, 'control.sock')} status`);
  if (remembersSocket(name))
    console.error(
      `infinit: RESTART THE ENGINE FIRST (\`systemctl restart docker\`): it still takes "${name}" for the socket of the daemon that ran before, so that volumes of that name fail, or become local ones`,
    );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      name: { type: 'string', default: 'infinit' },
      'state-dir': { type: 'string', default: defaultStateDir },
      'no-enable': { type: 'boolean', default: false },
      keep: { type: 'string' },
    },
  });
  if (values.keep === undefined) await refuseHindrances(values.name, values['state-dir']);
  const directory = values.keep ?? mkdtempSync(path.join(tmpdir(), 'infinit-plugin-'));
  try {
    assembleRootfs({ projectRoot, target: path.join(directory, 'rootfs'), nodeBinary: process.execPath });
    writeFileSync(path.join(directory, 'config.json'), JSON.stringify(managedConfig(projectRoot), undefined, 2));
    if (values.keep !== undefined) return console.log(`assembled in ${directory}; now: docker plugin create ${values.name} ${directory}`);
    mkdirSync(values['state-dir'], { recursive: true, mode: 0o700 });
    if (remembersSocket(values.name)) {
      const known = await forgetSocketVolumes(values.name);
      if (known.length > 0)
        console.log(`the engine knew ${known.join(', ')} through the daemon's socket, and finds them in the plugin from its restart on`);
    }
    register(values.name, directory, values['state-dir'], !values['no-enable']);
    sayWhatNext(values.name, values['state-dir'], !values['no-enable']);
  } finally {
    if (values.keep === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(`infinit: ${messageOf(error)}`);
  process.exitCode = 1;
}
