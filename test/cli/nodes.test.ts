import assert from 'node:assert/strict';
import { test } from 'node:test';

import { renderNodes } from '../../src/cli/commands/node.ts';
import { sketch } from '../api/cluster-statuses.ts';

test('the host that was asked is marked in the table, and has its own name for programs', () => {
  const { hosts } = sketch(3, [{}, {}]).hosts[0]!;
  assert.match(renderNodes(hosts, 'table'), /^h0 \* .*\nh1 {2}/m);
  assert.equal(renderNodes(hosts, '{{.Name}}'), 'h0\nh1');
  assert.deepEqual(
    renderNodes(hosts, 'json')
      .split('\n')
      .map((line) => (JSON.parse(line) as { Name: string }).Name),
    ['h0', 'h1'],
  );
});
