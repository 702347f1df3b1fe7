/**
 * `npm run plugin:create`: registers this project as the managed plugin `infinit` of the local engine, without a registry.
 * `--name NAME`, `--state-dir DIR` (made if absent: the engine wants it to exist), `--no-enable`, `--keep DIR` (only assemble, there).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { InfinitError, messageOf } from '../src/base/index.ts';
import { managedConfig } from './managed-config.ts';
import { assembleRootfs } from './managed-rootfs.ts';

const projectRoot = path.resolve(import.meta.dirname, '..');

function docker(...args: string[]): void {
  const { status, error, stderr } = spawnSync('docker', args, { encoding: 'utf8' });
  if (error !== undefined) throw new InfinitError('unsupported', `there is no docker command: ${error.message}`);
  if (status !== 0) throw new InfinitError('unavailable', `docker ${args.slice(0, 2).join(' ')}: ${stderr.trim()}`);
}

function main(): void {
  const { values } = parseArgs({
    options: {
      name: { type: 'string', default: 'infinit' },
      'state-dir': { type: 'string', default: '/var/lib/infinit' },
      'no-enable': { type: 'boolean', default: false },
      keep: { type: 'string' },
    },
  });
  const directory = values.keep ?? mkdtempSync(path.join(tmpdir(), 'infinit-plugin-'));
  try {
    assembleRootfs({ projectRoot, target: path.join(directory, 'rootfs'), nodeBinary: process.execPath });
    writeFileSync(path.join(directory, 'config.json'), JSON.stringify(managedConfig(projectRoot), undefined, 2));
    if (values.keep !== undefined) return console.log(`assembled in ${directory}; now: docker plugin create ${values.name} ${directory}`);
    mkdirSync(values['state-dir'], { recursive: true, mode: 0o700 });
    docker('plugin', 'create', values.name, directory);
    docker('plugin', 'set', values.name, `state.source=${values['state-dir']}`);
    if (!values['no-enable']) docker('plugin', 'enable', values.name);
    console.log(
      values['no-enable']
        ? `plugin ${values.name} created; next: docker plugin set ${values.name} NAME=VALUE, then docker plugin enable ${values.name}`
        : `plugin ${values.name} enabled: docker volume create -d ${values.name} NAME`,
    );
  } finally {
    if (values.keep === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

try {
  main();
} catch (error) {
  console.error(`infinit: ${messageOf(error)}`);
  process.exitCode = 1;
}
