/** A program that changes names of its own in the working directory until there is a file `stop`, and ends with the first error: `names-loop.ts PREFIX`. */
import assert from 'node:assert/strict';
import { existsSync, linkSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';

const [prefix = ''] = process.argv.slice(2);
let operations = 0;
/** On the host that serves the volume nothing else slows it down, and what others ask for waits until all of it is durable. */
const pauseMs = 100;
for (let turn = 0; !existsSync('stop'); turn++) {
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
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
}
assert.deepEqual(
  readdirSync('.').filter((name) => name.startsWith(`${prefix}-`)),
  [],
);
console.log(operations);
