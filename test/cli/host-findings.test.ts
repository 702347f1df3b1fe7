import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { hostFindings, kernelFinding, mountFindings } from '../../src/cli/host-findings.ts';
import { probeMounts } from '../../src/cli/mount-probe.ts';
import { linux } from '../../src/fuse/index.ts';

test('doctor judges a kernel as the file system does', () => {
  const levels = (...versions: string[]): string[] => versions.map((version) => kernelFinding(version).level);
  assert.deepEqual(levels('4.19.0-27-amd64', '5.10.0-35-amd64', '5.11.22'), ['error', 'error', 'error']);
  assert.deepEqual(levels(linux.least, '5.15.0-1', '6.1.0-37-amd64', '6.8.12'), Array(4).fill('warning'));
  assert.deepEqual(levels(linux.keepsMounts, '6.12.48+deb13-amd64', '7.0.0-rc1'), ['ok', 'ok', 'ok']);
});

test('the documents name the kernels that the code does', () => {
  const text = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
  const [readme, operating] = [text('README.md'), text('docs/operating.md')];
  const of = (place: string, pattern: RegExp): string[] => [...place.matchAll(pattern)].map(([, version]) => version!);
  assert.deepEqual(of(readme, /kernel ≥ ([\d.]+)/g), [linux.least]);
  assert.deepEqual(of(operating, /Linux ([\d.]+) is the least/g), [linux.least]);
  assert.deepEqual(
    new Set([...of(readme, /(?:Linux ≥|from) (\d+\.\d+)/g), ...of(operating, /(?:Linux ≥|Before Linux) ([\d.]+)/g)]),
    new Set([linux.keepsMounts]),
  );
});

test('every finding that is not well says what to do', async () => {
  for (const { topic, level, advice } of await hostFindings()) assert.ok(level === 'ok' || advice !== undefined, topic);
});

test('a mount that does not answer is called so, neither dead nor well', () => {
  const told = (...answers: ('live' | 'dead' | 'silent')[]): string[] =>
    mountFindings(['/a', '/b', '/c'], answers).map(({ level, finding }) => `${level} ${finding}`);
  assert.deepEqual(told('live', 'live', 'live'), ['ok 3 mounted, none dead']);
  assert.deepEqual(told('live', 'silent', 'silent'), ['error 2 of 3 mounted do not answer: /b, /c']);
  assert.deepEqual(told('dead', 'silent', 'live'), ['error dead mounts: /a', 'error 1 of 3 mounted does not answer: /b']);
});

test('one mount that hangs does not keep the others from being heard', async () => {
  assert.deepEqual(await probeMounts(['/', '/nowhere'], undefined, 60_000), ['live', 'live']);
  assert.deepEqual(await probeMounts([]), []);
  const hangs = "console.log('0 -'); console.log('2 ENOTCONN'); setInterval(() => {}, 1000)";
  assert.deepEqual(await probeMounts(['/a', '/b', '/c'], hangs, 5_000), ['live', 'silent', 'dead']);
});
