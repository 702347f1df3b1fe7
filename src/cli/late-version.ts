import type { Command } from 'commander';

import { InfinitError } from '../base/index.ts';

/**
 * The program's `--version` counts before the command only. Commander would take it anywhere, print the program's version and report success, with nothing done:
 * `block update @KEY --version 7` reads like a condition. @throws InfinitError `bad-argument`.
 */
export function refuseLateVersion(program: Command, words: readonly string[]): void {
  const command = words.findIndex((word) => program.commands.some((child) => child.name() === word || child.aliases().includes(word)));
  if (command < 0) return;
  const end = words.indexOf('--', command);
  const late = words.slice(command, end < 0 ? undefined : end).find((word) => word === '-V' || /^--version(?:=|$)/.test(word));
  if (late === undefined) return;
  const hint = words[command] === 'block' ? '; a version that a block must be at is --expect VERSION' : '';
  throw new InfinitError('bad-argument', `${late} is no option of \`infinit ${words[command]}\`: \`infinit version\` tells the program's${hint}`);
}
