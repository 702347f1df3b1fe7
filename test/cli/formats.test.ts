import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Command } from 'commander';

import { fillTemplate, formatOption, humanBytes, listShapes, renderList, renderObject, renderTable } from '../../src/cli/output.ts';
import { createProgram } from '../../src/cli/program.ts';

function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

test('what is no format is refused by every command that takes one', () => {
  const formats = commandsOf(createProgram()).flatMap((command) => command.options.filter(({ long }) => long === '--format'));
  assert.ok(formats.length >= 12);
  for (const { parseArg, description } of formats) {
    for (const wrong of ['xml', '', 'JSON', 'tables', '{{.Name', '{{.Name}} {{json .}'])
      assert.throws(() => parseArg!(wrong, undefined), { code: 'bad-argument' }, description);
    for (const right of ['json', '{{.Name}}', 'a {{json .}}']) assert.equal(parseArg!(right, undefined), right);
  }
});

test('only lists print tables of chosen columns, and what is inspected is no table', () => {
  const parsed = (option: ReturnType<typeof formatOption>, text: string): unknown => option.parseArg!(text, undefined);
  assert.equal(parsed(formatOption(listShapes, '{{.Name}}'), 'table {{.Name}}'), 'table {{.Name}}');
  assert.throws(() => parsed(formatOption(['table', 'json'], '{{.Name}}'), 'table {{.Name}}'), /none of table, json or a template/);
  assert.throws(() => parsed(formatOption(['json'], '{{.Name}}'), 'table'), /"table" is none of json or a template such as \{\{\.Name\}\}/);
});

test('what there is one of is an object, and a field that there is not is told with its neighbours', () => {
  const object = { Health: { State: 'HEALTHY', Reasons: [] }, Name: 'a' };
  assert.deepEqual(JSON.parse(renderObject(object, 'json')), object);
  assert.equal(renderObject(object, '{{.Health.State}}'), 'HEALTHY');
  assert.throws(() => fillTemplate('{{.Nope}}', object), { message: '--format: there is no field ".Nope"; there are .Health, .Name' });
  assert.throws(() => fillTemplate('{{.Health.Nope}}', object), {
    message: '--format: there is no field ".Health.Nope"; there are .Health.State, .Health.Reasons',
  });
  assert.throws(() => fillTemplate('{{.Name.Nope}}', object), { message: '--format: there is no field ".Name.Nope": ".Name" has no fields' });
});

test('a field that no row has is refused of an empty list as well', () => {
  const columns = [{ header: 'NAME', field: 'Name', value: (row: string): string => row }];
  for (const template of ['{{.Nam}}', 'table {{.Nam}}'])
    for (const rows of [[], ['a']])
      assert.throws(() => renderList(rows, columns, template), { message: '--format: there is no field ".Nam"; there are .Name' });
  assert.equal(renderList([], columns, '{{.Name}}'), '');
});

test('bytes are shown with a unit and no exponent, whatever their number', () => {
  const k = 1024;
  for (const [bytes, text] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [k, '1.00 KiB'],
    [999.4 * k, '999 KiB'],
    [999.5 * k, '999 KiB'],
    [1000 * k, '1000 KiB'],
    [1023.9 * k ** 3, '1023 GiB'],
    [k ** 4, '1.00 TiB'],
    [2000 * k ** 5, '2000 PiB'],
  ] as const)
    assert.equal(humanBytes(bytes), text);
});

test('a table of chosen columns is set as the whole one is, however long', () => {
  const columns = [
    { header: 'NAME', field: 'Name', value: (row: number) => `n${row}` },
    { header: 'SIZE', field: 'Size', value: (row: number) => String(row) },
  ];
  assert.equal(renderList([7], columns, 'table'), 'NAME   SIZE\nn7     7');
  assert.equal(renderList([7], columns, String.raw`table {{.Size}}\t{{.Name}}`), 'SIZE   NAME\n7      n7');
  const many = Array.from({ length: 200_000 }, (_, index) => index);
  assert.equal(renderList(many, columns, 'table').split('\n').at(-1), 'n199999   199999');
});

test('what another host calls itself begins no row of a table', () => {
  const columns = [{ header: 'NAME', field: 'Name', value: (name: string) => name }];
  assert.equal(renderTable(['h1\nh2', 'h3\u001b[A'], columns), 'NAME\n' + String.raw`h1\u000ah2` + '\n' + String.raw`h3\u001b[A`);
});
