import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

/** Which layer may import which: the table is the documentation. Type imports count too. */
const layers: Record<string, readonly string[]> = {
  base: [],
  block: ['base'],
  consensus: ['base'],
  placement: ['base', 'block'],
  disk: ['base', 'block'],
  exchange: ['base'],
  overlay: ['base', 'exchange'],
  store: ['base', 'block', 'consensus', 'placement', 'disk', 'overlay'],
  membership: ['base', 'block', 'placement', 'disk', 'overlay', 'store'],
  repair: ['base', 'block', 'consensus', 'placement', 'overlay', 'store', 'membership'],
  tree: ['base', 'block', 'store'],
  filesystem: ['base', 'block', 'store', 'tree'],
  fuse: ['base', 'filesystem'],
  api: ['base', 'block', 'exchange'],
  node: [
    'base',
    'block',
    'consensus',
    'placement',
    'exchange',
    'disk',
    'overlay',
    'store',
    'membership',
    'repair',
    'tree',
    'filesystem',
    'fuse',
    'api',
  ],
  plugin: ['base', 'api'],
  cli: ['base', 'block', 'fuse', 'api', 'node', 'plugin'],
};

/** Libraries that belong to one place. */
const libraries: readonly (readonly [library: RegExp, places: RegExp])[] = [
  [/^express$/, /^(plugin|src\/node)\//],
  [/^commander$/, /^src\/cli\//],
  [/^dockerode$/, /^(plugin|src\/cli|src\/node)\//],
  [/^classic-level$/, /^src\/disk\/level-index\.ts$/],
  [/^(libp2p$|@libp2p\/|@chainsafe\/|@multiformats\/)/, /^src\/overlay\//],
];

/** Pure layers: decisions only, so that they replay. */
const pure = ['consensus', 'placement'];
const impure =
  /\bDate\.now\(|\bnew Date\(|\bMath\.random\(|\bsetTimeout\(|\bsetInterval\(|\bprocess\.|\bperformance\.|from 'node:(fs|net|timers|worker_threads|child_process|http)/;

interface Import {
  readonly file: string;
  readonly target: string;
}

const files = globSync(['src/**/*.ts', 'plugin/**/*.ts']);

function layerOf(file: string): string {
  const parts = file.split('/');
  return parts[0] === 'plugin' ? 'plugin' : parts[1]!;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from\s+|import\(\s*|import\s+)'([^']+)'/g)].map((match) => ({ file, target: match[1]! }));
}

const imports = files.flatMap(importsOf);

test('imports go down only, through the door of each layer', () => {
  const wrong: string[] = [];
  for (const { file, target } of imports) {
    if (!target.startsWith('.')) continue;
    const resolved = path.join(path.dirname(file), target);
    if (!/^(src|plugin)\//.test(resolved)) continue;
    const [from, to] = [layerOf(file), layerOf(resolved)];
    if (from === to) continue;
    if (!layers[from]?.includes(to)) wrong.push(`${file} imports ${resolved}: ${from} may not know ${to}`);
    else if (path.basename(resolved) !== 'index.ts') wrong.push(`${file} imports ${resolved}: use the door, ${to}/index.ts`);
  }
  assert.deepEqual(wrong, []);
});

test('the table has the layers that there are', () => {
  assert.deepEqual([...new Set(files.map(layerOf))].toSorted(), Object.keys(layers).toSorted());
});

test('each library stays in its place', () => {
  const wrong = imports.flatMap(({ file, target }) =>
    libraries.filter(([library, places]) => library.test(target) && !places.test(file)).map(() => `${file} imports ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test('pure layers read no clock, randomness or I/O', () => {
  const code = (file: string): string => readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const wrong = files.filter((file) => pure.includes(layerOf(file)) && impure.test(code(file)));
  assert.deepEqual(wrong, []);
});
