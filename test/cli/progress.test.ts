import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Progress } from '../../src/cli/progress.ts';

function written(isTTY: boolean, tell: (line: Progress) => void, columns = 80): string {
  let text = '';
  const line = new Progress({ isTTY, columns, write: (more: string) => (text += more) });
  tell(line);
  line[Symbol.dispose]();
  return text;
}

test('on a terminal one line is written over, fits, and is gone at the end', () => {
  const clear = '\r\u001b[K';
  const tell = (line: Progress): void => {
    line.say('half', 0.5);
    line.say('half', 0.5);
    line.note('by the way');
    line.say('all', 1);
  };
  const [half, all] = ['[==========>         ]  50 % half', '[====================] 100 % all'];
  assert.equal(written(true, tell), `${clear}${half}${clear}by the way\n${clear}${all}${clear}`);
  assert.equal(
    written(true, (line) => line.say('much to say', 2), 31),
    `${clear}[====================] 100 % m${clear}`,
  );
});

test('elsewhere there is a line for each change', () => {
  const tell = (line: Progress): void => {
    for (const [index, text] of ['one', 'one', 'two'].entries()) line.say(text, index / 2);
    line.note('by the way');
    line.say('more than this is not known');
  };
  assert.equal(written(false, tell), 'one\ntwo\nby the way\nmore than this is not known\n');
});
