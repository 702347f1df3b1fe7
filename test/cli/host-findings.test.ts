import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { hostFindings, kernelFinding } from '../../src/cli/host-findings.ts';
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

test('every finding that is not well says what to do', () => {
  for (const { topic, level, advice } of hostFindings()) assert.ok(level === 'ok' || advice !== undefined, topic);
});
