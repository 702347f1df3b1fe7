import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { daemonOptions, resolveBlock, type VolumeOption, volumeOptions } from '../../src/api/index.ts';

/** The options table of docs/docker.md. */
function optionsTable(): string {
  const rows = (volumeOptions as readonly VolumeOption[]).map(
    ({ name, aliases, type, fallback, help }) =>
      `| \`${name}\` | ${aliases.map((alias) => `\`${alias}\``).join(' ')} | ${type.wanted} | \`${fallback}\` | ${help} |`,
  );
  return ['| option | also | value | default | |', '|---|---|---|---|---|', ...rows].join('\n');
}

test('docs/api.md shows the address that the name in its example has', () => {
  const [, name, address] = /http:\/\/infinit\/v1\/blocks\/@(\w+)\n\{"address":"(\w+)"/.exec(readFileSync('docs/api.md', 'utf8'))!;
  assert.equal(address, resolveBlock(`@${name!}`));
});

test('docs/decisions/README.md lists each decision, by its title', () => {
  const index = readFileSync('docs/decisions/README.md', 'utf8');
  const pages = globSync('docs/decisions/*.md').filter((page) => path.basename(page) !== 'README.md');
  const titles = pages.map((page) => `[${/^# (?<title>.*)/.exec(readFileSync(page, 'utf8'))!.groups!['title']!}](${path.basename(page)})`);
  assert.deepEqual([...index.matchAll(/\[[^\]]*\]\([\w-]+\.md\)/g)].map(([link]) => link).toSorted(), titles.toSorted());
});

test('docs/docker.md lists the options that the parser knows', () => {
  const page = readFileSync('docs/docker.md', 'utf8');
  const table = /<!-- options:[^\n]*\n(?<table>.*)\n<!-- end of options -->/s.exec(page)?.groups?.['table'];
  assert.equal(table, optionsTable());
});

const fallback = (flag: string): string | undefined => daemonOptions.find((option) => option.flag === flag)?.fallback;

interface ManagedConfig {
  readonly entrypoint: readonly string[];
  readonly propagatedMount: string;
  readonly env: readonly { readonly name: string; readonly settable?: readonly string[] }[];
  readonly mounts: readonly { readonly destination: string }[];
}

test('config.json speaks of all settings of the daemon but those that are places in the plugin, and all can be set', () => {
  const config = JSON.parse(readFileSync('config.json', 'utf8')) as ManagedConfig;
  const places = ['INFINIT_STATE_DIR', 'INFINIT_MOUNT_DIR', 'INFINIT_PLUGIN_SOCKET'];
  const known = [...daemonOptions.map(({ environment }) => environment), 'INFINIT_CONFIG'];
  const settings = config.env.filter(({ name }) => name.startsWith('INFINIT_'));
  assert.deepEqual(settings.map(({ name }) => name).toSorted(), known.filter((name) => !places.includes(name)).toSorted());
  assert.deepEqual(
    settings.filter(({ settable }) => settable?.[0] !== 'value'),
    [],
  );
  assert.equal(config.propagatedMount, fallback('mount-dir'));
  assert.deepEqual(
    config.mounts.map(({ destination }) => destination),
    [fallback('state-dir'), '/run/docker.sock'],
  );
  const script = config.entrypoint.find((word) => word.endsWith('.ts'))!;
  assert.ok(existsSync(path.relative('/opt/infinit', script)), script);
  assert.match(
    readFileSync('Dockerfile', 'utf8'),
    new RegExp(
      `ENTRYPOINT ${JSON.stringify(config.entrypoint)
        .replaceAll(/[[\]]/g, String.raw`\$&`)
        .replaceAll(',', ', ')}`,
    ),
  );
});

test('docs/docker-contract.md names tests that exist', () => {
  const sources = globSync('test/{docker,plugin,integration,fuse}/*.ts')
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  const page = readFileSync('docs/docker-contract.md', 'utf8');
  // A name stands in quotes and is a sentence; others are words of people.
  const named = [...page.matchAll(/"([^"\n]{20,})"/g)].map((match) => match[1]!);
  assert.ok(named.length > 60, String(named.length));
  const known = (name: string): boolean => [`'${name}'`, `"${name}"`, `\`${name}\``].some((quoted) => sources.includes(quoted));
  assert.deepEqual(
    named.filter((name) => !known(name)),
    [],
  );
});
