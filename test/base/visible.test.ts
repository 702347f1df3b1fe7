import assert from 'node:assert/strict';
import { test } from 'node:test';

import { visible } from '../../src/base/index.ts';

test('what steers a terminal, or is not seen, is shown as what it is', () => {
  assert.equal(visible('\u001b[2Jh1\u009b1m\r'), String.raw`\u001b[2Jh1\u009b1m\u000d`);
  assert.equal(visible('h1\u200b \u202etxt.h\u2028 \udb40\udc41'), String.raw`h1\u200b \u202etxt.h\u2028 \udb40\udc41`);
  assert.equal(visible('half \ud800'), String.raw`half \ud800`);
});

test('all else stays as it is: letters of any script, pictures, and where there are several lines their ends and tabs', () => {
  const text = 'Zürich 東京 e\u0301 😀\tx\ny';
  assert.equal(visible(text), text);
  assert.equal(visible(text, true), text.replace('\t', String.raw`\u0009`).replace('\n', String.raw`\u000a`));
});

test('JSON says the same', () => {
  const value = { name: '\u001b\u200b\udb40\udc41\n', list: ['\u202e', '\ud800'] };
  assert.deepEqual(JSON.parse(visible(JSON.stringify(value, undefined, 2))), value);
});
