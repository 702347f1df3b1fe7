import { type Command, Option } from 'commander';

import { codeOf, type ErrorCode, InfinitError, messageOf, visible } from '../base/index.ts';
import { connect, ControlClient, type Infinit } from '../api/index.ts';

/** Options that every command has. */
export interface GlobalOptions {
  readonly controlSocket: string;
}

/** code → exit code: 1 failed, 2 usage, 3 not found, 4 conflict, 5 unavailable. */
const exitCodes: Partial<Record<ErrorCode, number>> = {
  'bad-argument': 2,
  'too-large': 2,
  'not-found': 3,
  conflict: 4,
  'already-exists': 4,
  'in-use': 4,
  unavailable: 5,
  'unknown-outcome': 5,
  'deadline-exceeded': 5,
  overloaded: 5,
  closed: 5,
};

export function exitCodeOf(error: unknown): number {
  return exitCodes[codeOf(error)] ?? 1;
}

/** Says a failure on stderr, the way all commands do. */
export function sayFailure(error: unknown): void {
  const code = codeOf(error);
  process.stderr.write(`infinit: ${code}: ${visible(messageOf(error))}\n`);
  if (code === 'bug' && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
}

export function say(text: string): void {
  if (text === '') return;
  // Programs get it as it is.
  process.stdout.write(`${process.stdout.isTTY ? visible(text) : text}\n`);
}

export function client(options: GlobalOptions): ControlClient {
  return new ControlClient(options.controlSocket);
}

/** The client that programs use. */
export function infinit(options: GlobalOptions): Infinit {
  return connect(options.controlSocket);
}

/** Runs a verb on several names: goes on past failures, successes on stdout, errors on stderr. The exit code is the failure's where there is one name, else 1. */
export async function forEachName(names: readonly string[], action: (name: string) => Promise<string>): Promise<void> {
  for (const name of names) {
    try {
      say(await action(name));
    } catch (error) {
      sayFailure(error);
      process.exitCode = names.length > 1 ? 1 : exitCodeOf(error);
    }
  }
}

/** The names of which `look` finds something; that it does not is said of each of the others. What is asked next is asked of what there is. */
export async function thoseThatAre(names: readonly string[], look: (name: string) => Promise<unknown>): Promise<readonly string[]> {
  const found: string[] = [];
  await forEachName(names, async (name) => {
    await look(name);
    found.push(name);
    return '';
  });
  return found;
}

/** `--yes` of every command that asks. It only answers the question; what the daemon refuses takes the `--force` of commands that have one. */
export const yesOption = ['-y, --yes', 'do not ask'] as const;

/** Tells whoever says `--force` to a command that asks and has nothing to overrule, as `docker … prune -f` has it, what to say. */
export function hintAtYes(command: Command): Command {
  const hint = '--force overrules nothing here: say --yes (-y) for not being asked';
  return command.addOption(new Option('-f, --force').hideHelp()).on('option:force', () => {
    throw new InfinitError('bad-argument', hint);
  });
}

/** Asks before what cannot be undone. @throws InfinitError `cancelled` where the answer is no, which it is without a terminal. */
export async function insist(question: string, outcome: string): Promise<void> {
  if (await confirm(question)) return;
  throw new InfinitError('cancelled', process.stdin.isTTY ? outcome : `${outcome}: without a terminal say --yes`);
}

/** Asks on a terminal; without one the answer is no. */
async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // The end of the input, or Ctrl-C, is no yes.
  const answer = await lines.question(`${visible(question)} [y/N] `).catch(() => '');
  lines.close();
  return /^y(es)?$/i.test(answer.trim());
}
