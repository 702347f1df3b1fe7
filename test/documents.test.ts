import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const root = path.resolve(import.meta.dirname, '..');
const prose = (file: string): string => readFileSync(path.join(root, file), 'utf8').replaceAll(/```.*?```/gs, '');

/** What GitHub makes of a heading. */
function anchorOf(heading: string): string {
  const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
  return text
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

test('links between the documents, and files that they name, lead somewhere', () => {
  const pages = globSync('{README.md,{docs,bench,examples}/**/*.md}', { cwd: root });
  const dead: string[] = [];
  for (const page of pages) {
    const text = prose(page);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = '', anchor] = target!.split('#');
      const place = file === '' ? page : path.join(path.dirname(page), file);
      const anchors = (): string[] => [...prose(place).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
      if (!existsSync(path.join(root, place)) || (anchor !== undefined && !anchors().includes(anchor))) dead.push(`${page}: ${target}`);
    }
    for (const [, named] of text.matchAll(/`((?:src|test|docs|plugin|bench|examples)\/[\w./*-]+\.\w+)`/g))
      if (globSync(named!, { cwd: root }).length === 0) dead.push(`${page}: ${named}`);
  }
  assert.ok(pages.length > 10);
  assert.deepEqual(dead, []);
});
