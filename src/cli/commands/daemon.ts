import { Command, Option } from 'commander';

import { daemonOptions, loadDaemonConfig } from '../../api/index.ts';

/** Which flags were given on the command line, by the names of the settings table. */
function givenFlags(command: Command): Record<string, string | undefined> {
  const flags: Record<string, string | undefined> = {};
  for (const { flag } of daemonOptions) {
    const option = command.options.find((candidate) => candidate.long === `--${flag}`)!;
    flags[flag] = command.getOptionValue(option.attributeName()) as string | undefined;
  }
  return flags;
}

/** `infinit daemon`: this host's part of the store, in the foreground. */
export function daemonCommand(): Command {
  const command = new Command('daemon')
    .description('run this host’s part of the store, in the foreground')
    .option('--config <file>', 'a JSON object with these settings (also INFINIT_CONFIG)');
  for (const { flag, value, help, environment, fallback } of daemonOptions) {
    const unlessSaid = fallback === '' ? '' : `; default: ${fallback}`;
    command.addOption(new Option(`--${flag} <${value}>`, `${help} [${environment}${unlessSaid}]`));
  }
  return command.action(async ({ config }: { config?: string }) => {
    // --control-socket is also a global option, for clients: given there it means the same.
    const global =
      command.parent?.getOptionValueSource('controlSocket') === 'cli' ? String(command.parent.getOptionValue('controlSocket')) : undefined;
    const flags = givenFlags(command);
    const settings = loadDaemonConfig({ ...flags, 'control-socket': flags['control-socket'] ?? global }, process.env, config);
    // Only the daemon needs the file system and all below it.
    const { runDaemon } = await import('../run-daemon.ts');
    await runDaemon(settings);
  });
}
