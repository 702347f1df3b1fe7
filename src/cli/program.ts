/** The command line: `infinit <object> <verb>`, also as `docker infinit …`. Only parses and prints; the daemon decides. */
import { Command, CommanderError, Option } from 'commander';

import { blockCommand } from './commands/block.ts';
import { clusterCommand } from './commands/cluster.ts';
import { completionCommands } from './commands/completion.ts';
import { daemonCommand } from './commands/daemon.ts';
import { doctorCommand } from './commands/doctor.ts';
import { nodeCommand } from './commands/node.ts';
import { salvageCommand, scrubCommand } from './commands/repair.ts';
import { statusCommand } from './commands/status.ts';
import { versionCommand } from './commands/version.ts';
import { volumeCommand } from './commands/volume.ts';
import { exitCodeOf, type GlobalOptions, say, sayFailure } from './context.ts';
import { ownArguments } from './docker-flags.ts';
import { refuseLateVersion } from './late-version.ts';
import { controlSocketOf, version } from '../api/index.ts';
import { InfinitError, plainly } from '../base/index.ts';
import { explainCommand } from './unknown-command.ts';
import { explainByVersion } from './version-mismatch.ts';
import { explainVolumeOption } from './volume-option-help.ts';

/** What the Docker CLI asks a plugin binary before it shows it as `docker infinit`. */
const dockerPluginMetadata = {
  SchemaVersion: '0.1.0',
  Vendor: 'Infinit',
  Version: version,
  ShortDescription: 'Volumes that every host of a swarm shares',
};

/** All commands. */
export function createProgram(): Command {
  const program = new Command('infinit')
    .description('Decentralised storage for Docker Swarm: all hosts are equal, any host can die.')
    .version(version)
    .addOption(new Option('--control-socket <path>', 'the daemon to talk to').env('INFINIT_CONTROL_SOCKET').default(controlSocketOf(process.env)))
    .configureOutput({ outputError: (text, write) => write(explainCommand(program, explainVolumeOption(text.replace(/^error: /, 'infinit: ')))) })
    // Of a verb its name: with all arguments beside it there is no room to say what it does.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showSuggestionAfterError()
    .exitOverride();
  const options = (): GlobalOptions => ({ controlSocket: controlSocketIn(program) });
  program.hook('preAction', (_program, command) => {
    if (command.name() !== 'daemon') process.stdout.on('error', endWithoutReader);
  });
  program.addCommand(daemonCommand());
  program.addCommand(volumeCommand(options));
  program.addCommand(blockCommand(options));
  program.addCommand(clusterCommand(options));
  program.addCommand(nodeCommand(options));
  program.addCommand(statusCommand(options));
  program.addCommand(doctorCommand(options));
  program.addCommand(versionCommand(options));
  program.addCommand(scrubCommand(options));
  program.addCommand(salvageCommand(options));
  const [completion, hidden] = completionCommands(program, options);
  program.addCommand(completion!);
  program.addCommand(hidden!, { hidden: true });
  inheritSettings(program);
  return program;
}

/** An empty setting is none, as for the daemon. */
function controlSocketIn(program: Command): string {
  return program.opts<GlobalOptions>().controlSocket || controlSocketOf({});
}

/** Nobody reads on, as with `| head`: that ends a program, and is no failure of it. */
function endWithoutReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit();
  process.stderr.write(`infinit: the output cannot be written: ${plainly(error)}\n`);
  process.exit(1);
}

/** Sub-commands made apart do not inherit how errors end the program. */
function inheritSettings(command: Command, path = command.name()): void {
  command.showHelpAfterError(`See \`${path} --help\`.`);
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritSettings(child, `${path} ${child.name()}`);
  }
}

/**
 * `help OBJECT VERB` and `OBJECT help VERB` are `OBJECT VERB --help`: commander itself reads no further than the object, and shows the help of that for a verb that
 * there is not. Such a one is left as it is, to be refused, and nothing after it.
 */
function helpWords(program: Command, words: readonly string[]): readonly string[] {
  const at = words.indexOf('help');
  if (at < 0) return words;
  const path: string[] = [];
  let command = program;
  for (const [index, word] of words.entries()) {
    if (index === at) {
      // Else it is an argument: a volume of that name.
      if (command.commands.length === 0) return words;
      continue;
    }
    const next = command.commands.find((child) => child.name() === word || child.aliases().includes(word));
    if (next === undefined && index < at) return words;
    if (next === undefined && command.commands.length > 0) return [...path, word];
    if (next === undefined) break;
    path.push(word);
    command = next;
  }
  return [...path, '--help'];
}

/** Where a relative path was given in a directory that was removed meanwhile, the system's own word for it says nothing. */
function withoutDirectory(error: unknown): unknown {
  const isGone = error instanceof Error && (error as NodeJS.ErrnoException).syscall === 'uv_cwd';
  return isGone
    ? new InfinitError('bad-argument', 'the directory that this was said in was removed: go to another one, or give whole paths', { cause: error })
    : error;
}

/** Runs the command line and leaves its exit code in `process.exitCode`. */
export async function main(): Promise<void> {
  const { words, engine } = ownArguments(process.argv.slice(2));
  if (words[0] === 'docker-cli-plugin-metadata') return say(JSON.stringify(dockerPluginMetadata));
  if (engine !== undefined && engine !== 'default')
    process.stderr.write(`infinit: "${engine}" is docker's choice of an engine; this talks to the daemon of this host (--control-socket)\n`);
  const program = createProgram();
  try {
    refuseLateVersion(program, words);
    await program.parseAsync(helpWords(program, words), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      const failure = withoutDirectory(error);
      sayFailure(failure);
      process.exitCode = exitCodeOf(failure);
      const why = await explainByVersion(error, controlSocketIn(program));
      if (why !== undefined) process.stderr.write(`infinit: ${why}\n`);
    }
  }
}
