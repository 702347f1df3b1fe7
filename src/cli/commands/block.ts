import { stat } from 'node:fs/promises';

import { Command, Option } from 'commander';

import {
  type BlockReport,
  committed,
  type Infinit,
  maxImmutableValueBytes,
  type ReplicaReport,
  resolveBlock,
  type WriteLimits,
} from '../../api/index.ts';
import { InfinitError, plainly } from '../../base/index.ts';
import { forEachName, type GlobalOptions, infinit, say } from '../context.ts';
import { readGiven } from '../given-file.ts';
import { type Column, fillTemplate, formatOption, humanBytes, renderInspect, renderObject, renderTable } from '../output.ts';

const columns: readonly Column<ReplicaReport>[] = [
  { header: 'HOST', field: 'Host', value: (replica) => replica.host },
  { header: 'STATE', field: 'State', value: (replica) => replica.state },
  { header: 'VERSION', field: 'Version', value: (replica) => String(replica.version ?? '') },
  { header: 'SIZE', field: 'Size', value: (replica) => (replica.size === undefined ? '' : humanBytes(replica.size)) },
  { header: 'ACCEPTED', field: 'Ballot', value: (replica) => replica.ballot ?? '' },
  { header: 'PROMISED', field: 'Promised', value: (replica) => replica.promised ?? replica.reason ?? '' },
];

const reference = 'an address, or @NAME of a named block';

/** How long a call may take. */
const timeout = new Option('--timeout <seconds>', 'give up after so long').default('10');

function limits({ timeout: text }: { timeout: string }): { deadlineMs: number } {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) throw new InfinitError('bad-argument', `--timeout: "${text}" is no number of seconds up to 3600`);
  return { deadlineMs: Math.ceil(seconds * 1000) };
}

/** Limits of a write on a condition. */
function condition(options: { timeout: string; expect?: string }): WriteLimits {
  const expect = version(options.expect);
  return expect === undefined ? limits(options) : { ...limits(options), expect };
}

type Make = (client: () => Infinit) => Command;

/** A whole number of at least 1. */
function version(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InfinitError('bad-argument', `--expect: "${text}" is no version such as 7`);
  return Number(text);
}

/** Of a file, or of standard input. @param hint Where there is no such file. */
async function contents(file: string | undefined, hint = ''): Promise<Uint8Array> {
  try {
    return await readGiven(file === '-' ? undefined : file, maxImmutableValueBytes);
  } catch (cause) {
    if (cause instanceof InfinitError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new InfinitError('bad-argument', `${file}: ${plainly(cause)}${missing ? hint : ''}`, { cause });
  }
}

/** People who know `put FILE` give `update` a file's name where it takes the value itself. */
async function warnOfFile(value: string, given: string): Promise<void> {
  const isFile = await stat(value).then(
    (found) => found.isFile(),
    () => false,
  );
  if (isFile)
    process.stderr.write(
      `infinit: the value of ${given} is now the text "${value}", not what is in the file of that name; to write that: infinit block update ${given} --file ${value}\n`,
    );
}

/** What fails calls the block by the name that it was asked for by. */
async function asCalled<T>(given: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof InfinitError)) throw error;
    throw new InfinitError(error.code, error.message.replaceAll(resolveBlock(given), given), { cause: error });
  }
}

/** Bytes as they are; the reader may go away early. */
function write(value: Uint8Array): Promise<void> {
  return new Promise((resolve) => process.stdout.write(value, () => resolve()));
}

const put: Make = (client) =>
  new Command('put')
    .description('keep a value and print its address; an immutable block unless told otherwise')
    .argument('[file]', 'the value; - or nothing: standard input')
    .option('--mutable', 'a block that can be updated')
    .option('--named <name>', 'a mutable block that everybody finds by its name; exits 4 where there is one')
    .addOption(timeout)
    .addOption(formatOption(['json'], '{{.Version}}', '{{.Address}}'))
    .action(async (file: string | undefined, options: { mutable?: boolean; named?: string; timeout: string; format: string }) => {
      const { mutable, named, format } = options;
      if (mutable === true && named !== undefined) throw new InfinitError('bad-argument', 'a named block is mutable: give one of --mutable, --named');
      const { blocks } = client();
      const value = await contents(file, ': a text comes on standard input: `echo hello | infinit block put -`');
      const show = (block: { readonly address: string; readonly version?: number }): void => say(renderObject(block, format));
      if (named !== undefined) {
        const result = await blocks.createNamed(named, value, limits(options));
        return show({ address: result.address, version: committed(result, `@${named}`) });
      }
      if (mutable !== true) return show({ address: await blocks.put(value, limits(options)) });
      const { address, version: first } = await blocks.create(value, limits(options));
      show({ address, version: first });
    });

const get: Make = (client) =>
  new Command('get')
    .description('print a value, byte for byte')
    .argument('<block>', reference)
    .addOption(timeout)
    .action(async (given: string, options: { timeout: string }) => {
      const block = await asCalled(given, client().blocks.get(resolveBlock(given), limits(options)));
      if (block === undefined) throw new InfinitError('not-found', `there is no block ${given}`);
      await write(block.value);
    });

const update: Make = (client) =>
  new Command('update')
    .description('replace the value of a mutable or named block and print its version; exits 4 where somebody else was first')
    .argument('<block>', reference)
    .argument('[value]', 'the new value itself; - or nothing: standard input')
    .option('--file <file>', 'the new value is what is in the file')
    .option('--expect <version>', 'only where the block is at this version')
    .addOption(timeout)
    .action(async (given: string, value: string | undefined, options: { expect?: string; file?: string; timeout: string }) => {
      const wanted = condition(options);
      if (value !== undefined && options.file !== undefined) throw new InfinitError('bad-argument', 'give a value or --file, not both');
      const isText = value !== undefined && value !== '-';
      const bytes = isText ? Buffer.from(value) : await contents(options.file);
      say(String(committed(await client().blocks.update(resolveBlock(given), bytes, wanted), given)));
      if (isText) await warnOfFile(value, given);
    });

const remove: Make = (client) =>
  new Command('rm')
    .alias('remove')
    .description('remove blocks')
    .argument('<block...>', reference)
    .option('--expect <version>', 'only where the block is at this version')
    .addOption(timeout)
    .action(async (given: string[], options: { expect?: string; timeout: string }) => {
      const wanted = condition(options);
      await forEachName(given, async (name) => {
        committed(await client().blocks.remove(resolveBlock(name), wanted), name);
        return name;
      });
    });

function describe(report: BlockReport): string {
  const healthy = report.replicas.filter(({ state }) => state === 'ok').length;
  return `${report.address}\n${report.kind}, owner ${report.owner ?? 'not known'}, ${healthy} of ${report.wanted} copies are up to date\n\n${renderTable(report.replicas, columns)}`;
}

const inspect: Make = (client) =>
  new Command('inspect')
    .description('ask every host that should have a block what it has')
    .argument('<block>', reference)
    .addOption(timeout)
    .addOption(formatOption(['table', 'json'], '{{.Kind}}'))
    .action(async (given: string, options: { format: string; timeout: string }) => {
      const { format } = options;
      const report = await asCalled(given, client().blocks.inspect(resolveBlock(given), limits(options)));
      if (report.replicas.every(({ state }) => state === 'missing')) throw new InfinitError('not-found', `no host has a block ${given}`);
      say(format === 'table' ? describe(report) : renderInspect([report], format));
    });

const watch: Make = (client) =>
  new Command('watch')
    .description('print the value of a mutable or named block, and each newer one, until interrupted')
    .argument('<block>', reference)
    .addOption(formatOption(['json'], '{{.Version}}', '{{.Version}}\t{{.Value}}'))
    .action(async (given: string, { format }: { format: string }) => {
      for await (const block of client().blocks.watch(resolveBlock(given))) {
        // Of a block that is not there, version 0 and no value.
        const shown = { address: resolveBlock(given), version: block?.version ?? 0, value: block?.text() ?? '' };
        say(format === 'json' ? JSON.stringify(shown) : fillTemplate(format, shown));
      }
    });

/** `infinit block …`. */
export function blockCommand(options: () => GlobalOptions): Command {
  const command = new Command('block').description('the value store: blocks of programs');
  for (const make of [put, get, update, remove, inspect, watch]) command.addCommand(make(() => infinit(options())));
  return command;
}
