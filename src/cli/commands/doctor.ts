import { Command, Option } from 'commander';

import type { GlobalOptions } from '../context.ts';
import { formatOption } from '../output.ts';

/** `infinit doctor`: exits 1 where something must be mended before volumes work. */
export function doctorCommand(options: () => GlobalOptions): Command {
  return new Command('doctor')
    .description('look for what keeps Infinit from working, and say what to do')
    .addOption(formatOption(['table', 'json'], '{{.Topic}}'))
    .addOption(
      new Option('--docker-socket <path>', 'the Docker Engine ("none": without)').env('INFINIT_DOCKER_SOCKET').default('/var/run/docker.sock'),
    )
    .addOption(
      new Option('--plugin-socket <path>', "the daemon's, for Docker").env('INFINIT_PLUGIN_SOCKET').default('/run/docker/plugins/infinit.sock'),
    )
    .action(async ({ format, dockerSocket, pluginSocket }: { format: string; dockerSocket: string; pluginSocket: string }) => {
      // No other command needs what this one looks with, and it takes as long to load as all of them.
      const { checkUp } = await import('../checkup.ts');
      await checkUp(options(), format, socketOf(dockerSocket), socketOf(pluginSocket));
    });
}

/** As the daemon reads it. */
function socketOf(given: string): string | undefined {
  return given === '' || given === 'none' ? undefined : given;
}
