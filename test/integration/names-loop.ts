/** A program that changes names of its own in the working directory for so many milliseconds, and ends with the first error: `names-loop.ts PREFIX MS`. */
import assert from 'node:assert/strict';
import { linkSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';

const [prefix = '', ms = '0'] = process.argv.slice(2);
const until = Date.now() + Number(ms);
let operations = 0;
for (let turn = 0; Date.now() < until; turn++) {
  const [directory, moved, symlink, link, within] = ['d', 'm', 's', 'l', 'w'].map((kind) => `${prefix}-${kind}${turn}`) as [
    string,
    string,
    string,
    string,
    string,
  ];
  mkdirSync(directory);
  symlinkSync('nowhere', symlink);
  linkSync(symlink, link);
  assert.equal(lstatSync(link).nlink, 2);
  renameSync(directory, moved);
  mkdirSync(`${moved}/${within}`);
  assert.deepEqual(readdirSync(moved), [within]);
  unlinkSync(symlink);
  renameSync(link, `${moved}/${within}/${symlink}`);
  unlinkSync(`${moved}/${within}/${symlink}`);
  rmdirSync(`${moved}/${within}`);
  rmdirSync(moved);
  operations += 10;
}
assert.deepEqual(
  readdirSync('.').filter((name) => name.startsWith(`${prefix}-`)),
  [],
);
console.log(operations);
