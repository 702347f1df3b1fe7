import { Command } from 'commander';

import type { HostStatus } from '../../api/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { type Column, humanBytes, humanDuration, renderInspect, renderTable } from '../output.ts';

const hostColumns: readonly Column<HostStatus>[] = [
  { header: 'HOST', field: 'Name', value: (host) => host.name },
  { header: 'HEALTH', field: 'Health', value: (host) => host.health.state },
  { header: 'BLOCKS', field: 'Blocks', value: (host) => String(host.disk.blocks) },
  { header: 'USED', field: 'Used', value: (host) => humanBytes(host.disk.usedBytes) },
  { header: 'FREE', field: 'Free', value: (host) => humanBytes(host.disk.freeBytes) },
  { header: 'MOUNTED', field: 'Mounted', value: (host) => host.mounted.join(',') },
];

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
  const reasons = status.health.reasons.map((reason) => `  - ${reason}\n`).join('');
  return `${status.health.state}\n${reasons}\n${lines.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}`).join('\n')}`;
}

/** `infinit status`: one word first, then why, then the figures. */
export function statusCommand(options: () => GlobalOptions): Command {
  return new Command('status')
    .description('say how the store is, and why')
    .option('--format <format>', 'table, json or a template such as {{.Health.State}}', 'table')
    .action(async ({ format }: { format: string }) => {
      const { hosts, silent, troubles } = await client(options()).clusterStatus();
      if (format !== 'table') return say(renderInspect(hosts, format));
      const notes = [...silent.map(({ name, reason }) => `${name} does not answer: ${reason}`), ...troubles];
      say(
        [describe(hosts[0]!), ...(hosts.length > 1 ? [`\n${renderTable(hosts, hostColumns)}`] : []), ...notes.map((note) => `! ${note}`)].join('\n'),
      );
    });
}
