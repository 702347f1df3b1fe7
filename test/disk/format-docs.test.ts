import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const docs = readFileSync('docs/on-disk-format.md', 'utf8');

test('every note that a host keeps beside its blocks is described', () => {
  const keys = globSync('src/**/*.ts').flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    if (!text.includes('readMeta(')) return [];
    return [...text.matchAll(/const (?:key|\w+Key) = '([\w/-]+)'/g)].map(([, key]) => key!);
  });
  assert.ok(keys.length >= 11, keys.join(' '));
  for (const key of keys) assert.ok(docs.includes(`\`${key}\``), key);
});

test('every named block of a volume is described', () => {
  const names = globSync('src/**/*.ts').flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/(?:context\.address\(|namedAddress\([\w.]*[vV]olumeId, )['`](\w+)/g)].map(([, name]) => name!),
  );
  assert.ok(names.length >= 9, names.join(' '));
  for (const name of names) assert.match(docs, new RegExp(`^\\| \`${name}[:\`]`, 'm'), name);
});
