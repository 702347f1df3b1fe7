import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

const context = path.resolve(import.meta.dirname, '../../src/cli/context.ts');
const program = `import { insist, sayFailure } from '${context}'; await insist('Sure?', 'nothing was done').catch(sayFailure); console.log('over');`;

/** What a person on a terminal sees who is asked, and presses this. */
async function pressing(key: string): Promise<string> {
  const terminal = spawn('script', ['-qec', `${process.execPath} --input-type=module -e ${JSON.stringify(program)}`, '/dev/null']);
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (!shown.includes('Sure?') && (shown + text).includes('Sure?')) terminal.stdin.write(key);
    shown += text;
  });
  await new Promise((resolve) => terminal.once('close', resolve));
  return shown;
}

for (const [name, key] of [
  ['the end of the input', '\u0004'],
  ['Ctrl-C', '\u0003'],
  ['Enter', '\r'],
] as const) {
  test(`${name} is a no, and no bug`, { timeout: 300_000 }, async () => {
    const shown = await pressing(key);
    assert.match(shown, /infinit: cancelled: nothing was done/);
    assert.match(shown, /over/);
    assert.doesNotMatch(shown, /bug/);
  });
}
