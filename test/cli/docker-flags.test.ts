import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ownArguments } from '../../src/cli/docker-flags.ts';

test('what docker was told itself comes before the name of the plugin, and is not ours', () => {
  const of = (line: string): string => ownArguments(line.split(' ')).words.join(' ');
  assert.equal(of('infinit volume ls'), 'volume ls');
  assert.equal(of('--context here infinit volume ls'), 'volume ls');
  assert.equal(of('--context=here -D --log-level debug infinit --control-socket /x volume ls'), '--control-socket /x volume ls');
  assert.equal(of('-H tcp://a:2376 --tlsverify --tlscacert ca.pem infinit status'), 'status');
  assert.equal(of('-c infinit infinit status'), 'status');
  assert.equal(ownArguments(['--context', 'there', 'infinit', 'status']).engine, 'there');
});

test('called by its own name it takes nothing away', () => {
  for (const line of [
    'volume create infinit',
    '--control-socket /x volume ls',
    'volume inspect infinit',
    '--help',
    '-c',
    'docker-cli-plugin-metadata',
  ])
    assert.deepEqual(ownArguments(line.split(' ')), { words: line.split(' '), engine: undefined });
});
