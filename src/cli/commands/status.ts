import { Command } from 'commander';

import type { ClusterStatus, HostStatus, HostSummary, RepairProgress } from '../../api/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { type Column, formatOption, humanBytes, humanDuration, renderObject, renderTable } from '../output.ts';

/** One line of the table: a member, and what it says of itself if it does. */
interface Row {
  readonly summary: Pick<HostSummary, 'name' | 'self' | 'state'>;
  readonly status: HostStatus | undefined;
}

const columns: readonly Column<Row>[] = [
  { header: 'HOST', field: 'Name', value: ({ summary }) => (summary.self ? `${summary.name} *` : summary.name) },
  { header: 'HEALTH', field: 'Health', value: ({ summary, status }) => status?.health.state ?? summary.state.toUpperCase() },
  { header: 'BLOCKS', field: 'Blocks', value: ({ status }) => String(status?.disk.blocks ?? '') },
  { header: 'USED', field: 'Used', value: ({ status }) => (status === undefined ? '' : humanBytes(status.disk.usedBytes)) },
  { header: 'FREE', field: 'Free', value: ({ status }) => (status === undefined ? '' : humanBytes(status.disk.freeBytes)) },
  { header: 'REPAIR', field: 'Repair', value: ({ status }) => repairText(status?.repair) },
  { header: 'UP', field: 'Up', value: ({ status }) => (status === undefined ? '' : humanDuration(status.uptimeSeconds)) },
  { header: 'MOUNTED', field: 'Mounted', value: ({ status }) => status?.mounted.join(',') ?? '' },
];

function repairText(repair: RepairProgress | undefined): string {
  if (repair === undefined || repair.phase === 'idle') return '';
  if (repair.phase === 'waiting') return 'waiting for others';
  if (repair.phase === 'open') return 'not finished, tries again';
  const percent = repair.total === 0 ? 0 : Math.floor((100 * repair.done) / repair.total);
  const eta = repair.etaSeconds === undefined ? '' : `, ${humanDuration(repair.etaSeconds)} left`;
  return `${repair.phase} ${percent} %${repair.bytesPerSecond > 0 ? `, ${humanBytes(repair.bytesPerSecond)}/s` : ''}${eta}`;
}

/** "5 seconds to 1 hour", "5 to 6 seconds" or "1 minute". */
function ageRange(newestSeconds: number, oldestSeconds: number): string {
  const [newest, oldest] = [humanDuration(newestSeconds), humanDuration(oldestSeconds)];
  if (newest === oldest) return oldest;
  const unit = (text: string): string => text.replace(/^\d+ |s$/g, '');
  return `${unit(newest) === unit(oldest) ? Number.parseInt(newest, 10) : newest} to ${oldest}`;
}

/** What the last checks found, on all hosts together (each block is counted by one), and how long ago they were. */
function checkText(hosts: readonly HostStatus[]): string {
  const checks = hosts.flatMap(({ repair }) => repair?.lastCheck ?? []);
  if (checks.length === 0) return '';
  const sum = (field: 'underReplicated' | 'underQuorum' | 'surplus' | 'damaged' | 'givenUp'): number =>
    checks.reduce((all, { counts }) => all + counts[field], 0);
  const ages = checks.map(({ ageSeconds }) => ageSeconds);
  const age = ageRange(Math.min(...ages), Math.max(...ages));
  const unchecked = hosts.filter(({ repair }) => repair?.lastCheck === undefined).map(({ name }) => name);
  const unfinished = hosts.filter(({ repair }) => repair?.lastCheck?.open === true).map(({ name }) => name);
  return [
    `${sum('underReplicated')} blocks with too few, ${sum('underQuorum')} without a majority, ${sum('surplus')} surplus, ${sum('damaged')} damaged${sum('givenUp') > 0 ? `, ${sum('givenUp')} lost and given up` : ''}`,
    `checked ${age} ago${unchecked.length === 0 ? '' : `, not yet on ${unchecked.join(', ')}`}`,
    ...(unfinished.length === 0 ? [] : [`not all could be looked at or mended on ${unfinished.join(', ')}`]),
  ].join('; ');
}

function describe({ hosts, clusterId }: ClusterStatus): string {
  const status = hosts[0]!;
  const { disk } = status;
  const { views, hosts: count } = status.roster;
  const moving = repairText(status.repair);
  const checked = checkText(hosts);
  const lines: readonly (readonly [string, string])[] = [
    ['Host', `${status.name} (${status.peer})`],
    ['Cluster', clusterId ?? 'none: this host is alone'],
    ['Version', status.version],
    ['Up', humanDuration(status.uptimeSeconds)],
    ['Memory', humanBytes(status.memoryBytes)],
    ['Blocks', `${disk.blocks}, ${humanBytes(disk.liveBytes)} live, ${humanBytes(disk.usedBytes)} on disk, ${humanBytes(disk.freeBytes)} free`],
    ['Replicas', `${status.replicas.wanted} wanted, ${status.replicas.hosts} host${status.replicas.hosts === 1 ? '' : 's'} up`],
    ...(checked === '' ? [] : [['Copies', checked] as const]),
    ...(views.length === 0
      ? []
      : [
          [
            'Roster',
            `view ${views.at(-1)}, ${count === 1 ? '1 host stores' : `${count} hosts store`} blocks${views.length > 1 ? '; blocks are being moved' : ''}`,
          ] as const,
        ]),
    ...(moving === '' ? [] : [['Repair', moving] as const]),
    ['Volumes', `${status.volumes}, mounted here: ${status.mounted.length === 0 ? 'none' : status.mounted.join(', ')}`],
  ];
  return lines.map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}`).join('\n');
}

/** The whole answer as people read it: one word, why, this host, then all hosts. */
export function renderStatus(cluster: ClusterStatus): string {
  const { health, hosts, troubles } = cluster;
  const members = hosts[0]!.hosts;
  const rows = members.map((summary): Row => ({ summary, status: hosts.find(({ peer }) => peer === summary.peer) }));
  const notes = troubles.map(({ message }) => message).filter((message) => !health.reasons.includes(message));
  return [
    health.state,
    ...health.reasons.map((reason) => `  - ${reason}`),
    '',
    describe(cluster),
    ...(rows.length > 0 ? ['', renderTable(rows, columns)] : []),
    ...notes.map((note) => `! ${note}`),
  ].join('\n');
}

/** `infinit status`: one word first, then why, then the figures. */
export function statusCommand(options: () => GlobalOptions): Command {
  return new Command('status')
    .description('say how the store is, and why')
    .addOption(formatOption(['table', 'json'], '{{.Health.State}}'))
    .action(async ({ format }: { format: string }) => {
      const cluster = await client(options()).clusterStatus();
      say(format === 'table' ? renderStatus(cluster) : renderObject(cluster, format));
    });
}
