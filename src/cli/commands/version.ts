import { Command } from 'commander';

import { version } from '../../api/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { formatOption, renderObject } from '../output.ts';

/** `infinit version`: of this program and of the daemon, which may be an older one that still runs. */
export function versionCommand(options: () => GlobalOptions): Command {
  return new Command('version')
    .description('say which versions this program and the daemon are')
    .addOption(formatOption(['table', 'json'], '{{.Server.Version}}'))
    .action(async ({ format }: { format: string }) => {
      const own = { Client: { Version: version } };
      if (format === 'table') say(`Client:  ${version}`);
      else if (!format.toLowerCase().includes('server') && format !== 'json') return say(renderObject(own, format));
      const { version: running, name } = await client(options()).status();
      say(format === 'table' ? `Server:  ${running} (${name})` : renderObject({ ...own, Server: { Version: running, Name: name } }, format));
    });
}
