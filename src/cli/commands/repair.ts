import { userInfo } from 'node:os';

import { Command } from 'commander';

import type { HostStatus, SalvageAnswer, SalvagedBlock } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { client, type GlobalOptions, insist, say, yesOption } from '../context.ts';
import { type Column, formatOption, humanBytes, listShapes, renderList, renderTable } from '../output.ts';
import { Progress } from '../progress.ts';

/** Between two looks at a scrub under way, in ms. */
const pollMs = 1000;

function resultOf({ result, reason }: Pick<SalvagedBlock, 'result' | 'reason'>): string {
  return reason === undefined ? result : `${result}: ${reason}`;
}

const columns: readonly Column<SalvagedBlock>[] = [
  { header: 'BLOCK', field: 'Address', value: (block) => block.address },
  { header: 'VERSION', field: 'Version', value: (block) => `${block.version}${block.removed ? ' (removed)' : ''}` },
  { header: 'MISSING', field: 'Missing', value: (block) => [...block.missing, ...block.damaged.map((peer) => `${peer} (damaged)`)].join(',') },
  { header: 'LEFT AT', field: 'Holders', value: (block) => block.holders.join(',') },
  { header: 'RESULT', field: 'Result', value: resultOf },
];

/** What `infinit salvage` prints. */
export function renderSalvage(answer: SalvageAnswer, format: string): string {
  if (format === 'json') return JSON.stringify(answer, undefined, 4);
  if (format !== 'table') return renderList(answer.blocks, columns, format);
  const toAccept = answer.percentLost === undefined ? [] : [`with --force also ${saysAcceptance(answer.percentLost)}`];
  const counts = `${answer.looked} mutable blocks of this host: ${answer.underQuorum} without a majority in reach, ${answer.rewritten} rewritten, ${answer.givenUp} given up`;
  const accepted =
    answer.accepted === true ? ['what may have been lost with these hosts is accepted: what is not found is not there from now on'] : [];
  if (answer.blocks.length === 0) return [...accepted, ...toAccept, counts].join('\n');
  // The list may be of many thousands. What was given up before is in it, and not counted.
  const listed = answer.blocks.length;
  const isCounted = answer.results !== undefined && answer.results.length > 0;
  const results = isCounted
    ? answer.results.map((result) => `${result.count} ${resultOf(result)}`)
    : [...Map.groupBy(answer.blocks, resultOf)].map(([result, { length }]) => `${length} ${result}`);
  const first =
    listed >= answer.underQuorum ? [] : [isCounted ? `the first ${listed} are listed; of all:` : `of the first ${listed}, which are listed:`];
  const missing = [...(answer.missing ?? new Set(answer.blocks.flatMap((block) => block.missing)))].sort();
  // As `--lost` takes them: names of hosts that were expelled are in no list.
  const named = missing.length === 0 ? [] : [`missing in all: ${missing.join(' ')}`];
  return [renderTable(answer.blocks, columns), '', ...first, ...results, ...named, ...accepted, ...toAccept, counts].join('\n');
}

/** Of how many blocks something would be done. */
function possibleOf({ results, blocks, underQuorum }: SalvageAnswer): string {
  const of = (counts: readonly { readonly result: string; readonly count: number }[]): number =>
    counts.reduce((sum, { result, count }) => sum + (result === 'possible' ? count : 0), 0);
  if (results !== undefined) return String(of(results));
  const listed = of(blocks.map(({ result }) => ({ result, count: 1 })));
  return underQuorum > blocks.length ? `${listed} or more` : String(listed);
}

/** What it means that a person accepts what nobody is left to know of. */
function saysAcceptance(percent: number): string {
  return `of what is not found: for ${percent} in 100 such keys, names and blocks it is said from then on that there never were any, since most of their hosts were lost together; whatever is found stays (look with infinit volume check first)`;
}

interface SalvageOptions {
  readonly lost?: string[];
  readonly giveUp?: boolean;
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly format: string;
}

/** `infinit salvage`: the last resort. */
export function salvageCommand(options: () => GlobalOptions): Command {
  return new Command('salvage')
    .description('list blocks whose majority of copies is out of reach; with --force rewrite them from what is left')
    .option(
      '--lost <host...>',
      'hosts that are lost for good and were expelled with `infinit node rm`, by name or id; those whose records are damaged need no naming',
    )
    .option('--give-up', 'list only those of which nothing is left; with --force declare them lost: whoever reads one is told so')
    .option('--force', 'rewrite: what the lost hosts had and the others had not is gone for good')
    .option(...yesOption)
    .addOption(formatOption(listShapes, '{{.Address}}'))
    .action(async ({ lost = [], giveUp = false, force = false, yes = false, format }: SalvageOptions) => {
      const given = lost.length > 0 ? `what only ${lost.join(', ')} had` : 'what only damaged records held';
      const by = process.env['SUDO_USER'] ?? userInfo().username;
      if (force && !yes) {
        const before = await client(options()).salvage({ force: false, lost, giveUp, by });
        const possible = possibleOf(before);
        const also = before.percentLost === undefined ? '' : ` And ${saysAcceptance(before.percentLost)}.`;
        const question = giveUp
          ? `Declare ${possible} blocks lost of which nothing is left but ${given}?${also}`
          : `Make what is left of ${possible} blocks the truth, and give up ${given}?`;
        await insist(question, 'nothing was changed');
      }
      say(renderSalvage(await client(options()).salvage({ force, lost, giveUp, by }), format));
    });
}

/** `infinit scrub`: reads everything now. */
export function scrubCommand(options: () => GlobalOptions): Command {
  return new Command('scrub')
    .description('read all that this host keeps, now, and replace what is damaged from other copies')
    .option('--rate <MiB/s>', 'at most so many MiB a second', (text: string) => {
      const rate = Number(text);
      if (!(rate > 0 && Number.isFinite(rate))) throw new InfinitError('bad-argument', `--rate: "${text}" is no number of MiB above 0`);
      return rate;
    })
    .option('-d, --detach', 'do not wait for the end')
    .action(async ({ rate, detach }: { rate?: number; detach?: boolean }) => {
      const daemon = client(options());
      const before = await daemon.status();
      await daemon.scrub(rate === undefined ? undefined : rate * 1024 * 1024);
      if (detach === true) return;
      using line = new Progress();
      for (;;) {
        const status = await daemon.status();
        const isDone = runsIn(status) > runsIn(before);
        if (!isDone) line.say(describeScrub(status), shareRead(status));
        // What was asked of a daemon that is gone nobody does any more.
        if (status.uptimeSeconds < before.uptimeSeconds)
          throw new InfinitError('unavailable', 'the daemon was started anew before everything was read: say it again');
        if (isDone) {
          line[Symbol.dispose]();
          return say(describeScrub(status));
        }
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      }
    });
}

/** How much of what the host keeps was read. */
function shareRead({ disk, repair }: HostStatus): number | undefined {
  return repair === undefined || disk.liveBytes === 0 ? undefined : repair.scrub.bytes / disk.liveBytes;
}

function runsIn({ repair }: HostStatus): number {
  return repair?.scrub.runs ?? 0;
}

function describeScrub({ repair }: HostStatus): string {
  if (repair === undefined) throw new InfinitError('unsupported', 'this daemon does not scrub');
  const { blocks, bytes, damaged, repaired } = repair.scrub;
  return `${blocks} blocks, ${humanBytes(bytes)} read, ${damaged} damaged, ${repaired} replaced since the start`;
}
