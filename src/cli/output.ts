import { Option } from 'commander';

import { InfinitError, visible } from '../base/index.ts';

/** One column of a table: its header, which is also its name in templates, and how a row shows it. */
export interface Column<Row> {
  readonly header: string;
  /** The field's name in a template: `{{.Name}}`. */
  readonly field: string;
  readonly value: (row: Row) => string;
  /** What it is to programs, in JSON, where that is not the text: bytes, counts. */
  readonly data?: (row: Row) => unknown;
}

/** How `ls`, `inspect` and `status` are to print: `table`, `json` or a template such as `{{.Name}}: {{.Size}}`. */
export type Format = string;

/** What a command can print besides templates; `columns`: a table of chosen columns, `table {{.Name}}\t{{.Size}}`. */
export type Shape = 'table' | 'json' | 'columns';

const shapesInWords: Readonly<Record<Shape, string>> = { table: 'table', json: 'json', columns: '"table TEMPLATE"' };

/** `--format`, which takes these shapes and templates; `-f` as well where docker has it, of single objects: in lists that is the filter. @param example A template. @param fallback The first of them unless said otherwise. */
export function formatOption(shapes: readonly Shape[], example: string, fallback: Format = shapes[0]!): Option {
  const words = `${shapes.map((shape) => shapesInWords[shape]).join(', ')} or a template such as ${example}`;
  const flags = shapes.includes('columns') ? '--format <format>' : '-f, --format <format>';
  return new Option(flags, words).default(fallback).argParser((given: string): Format => {
    if (given.replaceAll(/\{\{[^}]*\}\}/g, '').includes('{{'))
      throw new InfinitError('bad-argument', `--format: "{{" without "}}" after it in "${given}"`);
    const shape = given.startsWith('table ') ? 'columns' : given;
    if (shapes.includes(shape as Shape)) return given;
    if (shape !== 'columns' && given.includes('{{')) return given;
    throw new InfinitError('bad-argument', `--format: "${given}" is none of ${words}`);
  });
}

/** What lists can print. */
export const listShapes: readonly Shape[] = ['table', 'json', 'columns'];

/** Rows as docker prints them: upper-case headers, columns padded to the widest cell, three spaces between. */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  return aligned([columns.map((column) => column.header), ...rows.map((row) => columns.map((column) => column.value(row)))]);
}

/** A list in the wanted format: a table, one JSON object a line, or the template once a row. */
export function renderList<Row>(rows: readonly Row[], columns: readonly Column<Row>[], format: Format): string {
  if (format === 'table') return renderTable(rows, columns);
  const fieldsOf = (row: Row, of: (column: Column<Row>) => unknown): object =>
    Object.fromEntries(columns.map((column) => [column.field, of(column)]));
  if (format === 'json') return rows.map((row) => JSON.stringify(fieldsOf(row, ({ value, data = value }) => data(row)))).join('\n');
  const fields = rows.map((row) => fieldsOf(row, ({ value }) => value(row)));
  const body = format.startsWith('table ') ? format.slice('table '.length) : format;
  // Of an empty list too: what it cannot read, or no row has, is refused before a script relies upon it.
  const header = fillTemplate(body, Object.fromEntries(columns.map((column) => [column.field, column.header])));
  const lines = fields.map((row) => fillTemplate(body, row));
  if (body === format) return lines.join('\n');
  return aligned([header, ...lines].map((line) => line.split('\t')));
}

/** The one object that a command is about: itself in JSON, or the template. */
export function renderObject(object: object, format: Format): string {
  return format === 'json' ? JSON.stringify(object, undefined, 4) : fillTemplate(format, object);
}

/** One or several objects: a JSON array, or the template once an object. */
export function renderInspect(objects: readonly object[], format: Format): string {
  if (format === 'json') return JSON.stringify(objects, undefined, 4);
  return objects.map((object) => fillTemplate(format, object)).join('\n');
}

/**
 * The subset of Go's templates that people use with docker: `{{.Field}}`, `{{.A.B}}`, `{{json .}}`, `{{json .Field}}`, `\t` and `\n`.
 * Field names are found whatever their case. @throws InfinitError `bad-argument` for an unknown field or anything else in braces.
 */
export function fillTemplate(template: string, object: object): string {
  const text = template.replaceAll(String.raw`\t`, '\t').replaceAll(String.raw`\n`, '\n');
  return text.replaceAll(/\{\{(?<inside>[^}]*)\}\}/g, (_whole, inside: string) => {
    const match = /^\s*(?<json>json\s+)?\.(?<path>[\w.-]*)\s*$/.exec(inside);
    if (match === null) throw new InfinitError('bad-argument', `--format: cannot read "{{${inside}}}"; write {{.Field}} or {{json .Field}}`);
    const value = fieldOf(object, match.groups!['path']!);
    if (match.groups!['json'] !== undefined) return JSON.stringify(value);
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  });
}

function fieldOf(object: object, path: string): unknown {
  let value: unknown = object;
  let above = '';
  for (const name of path === '' ? [] : path.split('.')) {
    const key =
      typeof value === 'object' && value !== null
        ? Object.keys(value).find((candidate) => candidate.toLowerCase() === name.toLowerCase())
        : undefined;
    if (key === undefined) {
      const known = typeof value === 'object' && value !== null ? Object.keys(value).map((candidate) => `${above}.${candidate}`) : [];
      const hint = known.length > 0 ? `; there are ${known.join(', ')}` : above === '' ? '' : `: "${above}" has no fields`;
      throw new InfinitError('bad-argument', `--format: there is no field ".${path}"${hint}`);
    }
    above += `.${key}`;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function aligned(given: readonly (readonly string[])[]): string {
  // A line end in what another host calls itself would begin a row of its own.
  const cells = given.map((line) => line.map((cell) => visible(cell, true)));
  const widths: number[] = [];
  for (const line of cells) for (const [index, cell] of line.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return cells
    .map((line) =>
      line
        .map((cell, index) => cell.padEnd(widths[index]!))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** Bytes with three significant digits, or four below the next unit, and that. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  // From 999.5 on `toPrecision` would write 1.00e+3.
  return `${unit === 0 || value >= 999.5 ? Math.floor(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** Seconds as a person says them. */
export function humanDuration(seconds: number): string {
  const steps: readonly (readonly [number, string])[] = [
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ];
  const [size, name] = steps.find(([length]) => seconds >= length) ?? [1, 'second'];
  const count = Math.floor(seconds / size);
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
