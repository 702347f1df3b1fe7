import { Command } from 'commander';

import type { HostStatus } from '../../api/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { humanBytes, humanDuration, renderInspect, renderTable } from '../output.ts';

function describe(status: HostStatus): string {
  const { disk } = status;
  const lines: readonly (readonly [string, string])[] = [
    ['Host', `${status.name} (${status.peer})`],
    ['Version', status.version],
    ['Up', humanDuration(status.uptimeSeconds)],
    ['Memory', humanBytes(status.memoryBytes)],
    ['Blocks', `${disk.blocks}, ${humanBytes(disk.liveBytes)} live, ${humanBytes(disk.usedBytes)} on disk, ${humanBytes(disk.freeBytes)} free`],
    ['Replicas', `${status.replicas.wanted} wanted, ${status.replicas.hosts} host${status.replicas.hosts === 1 ? '' : 's'} up`],
    ['Volumes', `${status.volumes}, mounted here: ${status.mounted.length === 0 ? 'none' : status.mounted.join(', ')}`],
  ];
  const hosts =
    status.hosts.length === 0
      ? ''
      : `\n\n${renderTable(status.hosts, [
          { header: 'HOST', field: 'Name', value: (host) => host.name },
          { header: 'ADDRESS', field: 'Address', value: (host) => host.address },
          { header: 'ZONE', field: 'Zone', value: (host) => host.zone },
          { header: 'STATE', field: 'State', value: (host) => host.state },
        ])}`;
  const reasons = status.health.reasons.map((reason) => `  - ${reason}\n`).join('');
  return `${status.health.state}\n${reasons}\n${lines.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}`).join('\n')}${hosts}`;
}

/** `infinit status`: one word first, then why, then the figures. */
export function statusCommand(options: () => GlobalOptions): Command {
  return new Command('status')
    .description('say how the store is, and why')
    .option('--format <format>', 'table, json or a template such as {{.Health.State}}', 'table')
    .action(async ({ format }: { format: string }) => {
      const status = await client(options()).status();
      say(format === 'table' ? describe(status) : renderInspect([status], format));
    });
}
