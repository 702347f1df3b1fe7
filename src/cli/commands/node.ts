import { Command } from 'commander';

import { type ClusterStatus, type ControlClient, hostsCalled, type HostSummary } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { client, forEachName, type GlobalOptions, hintAtYes, insist, say, thoseThatAre, yesOption } from '../context.ts';
import { drainProgress, fewerCopies } from '../drain-progress.ts';
import { ListFilters } from '../list-filters.ts';
import { type Column, formatOption, humanBytes, listShapes, renderInspect, renderList } from '../output.ts';
import { Progress } from '../progress.ts';

/** Between two looks at a host that drains, in ms. */
const pollMs = 1000;

const columns: readonly Column<HostSummary>[] = [
  { header: 'NAME', field: 'Name', value: (host) => host.name },
  { header: 'STATE', field: 'State', value: (host) => host.state },
  { header: 'ZONE', field: 'Zone', value: (host) => host.zone },
  { header: 'CAPACITY', field: 'Capacity', value: (host) => humanBytes(host.capacity), data: (host) => host.capacity },
  { header: 'RIGHTS', field: 'Rights', value: (host) => host.rights.join(',') },
  { header: 'ADDRESS', field: 'Address', value: (host) => host.address },
  { header: 'ID', field: 'Id', value: (host) => host.peer },
];

/** What `node ls` prints. In the table alone the host that was asked has a mark: templates and JSON are for programs, which take a name for a name. */
export function renderNodes(hosts: readonly HostSummary[], format: string): string {
  return renderList(format === 'table' ? hosts.map((host) => (host.self ? { ...host, name: `${host.name} *` } : host)) : hosts, columns, format);
}

/** What `node ls` can be limited to. */
export const nodeFilters = new ListFilters<HostSummary>({
  name: { keeps: ({ name }, value) => name.includes(value) },
  state: { keeps: ({ state }, value) => state === value.toLowerCase() },
  zone: { keeps: ({ zone }, value) => zone === value },
});

/** Hosts by a name or an id. @throws InfinitError `not-found` where there is none. */
function membersCalled(name: string, members: readonly HostSummary[]): readonly HostSummary[] {
  const found = hostsCalled(name, members);
  if (found.length === 0) throw new InfinitError('not-found', `there is no host "${name}": see \`infinit node ls\``);
  return found;
}

/** What the cluster knows of a host, and what it says of itself; `silent` where it says nothing. */
function inspected(name: string, members: readonly HostSummary[], { hosts, silent }: ClusterStatus): object[] {
  return membersCalled(name, members).map((member) => {
    const { hosts: _seen, ...status } = hosts.find(({ peer }) => peer === member.peer) ?? { hosts: [] };
    const reason = silent.find(({ peer }) => peer === member.peer)?.reason;
    return { ...member, ...(reason === undefined ? { status } : { silent: reason }) };
  });
}

/** `infinit node …`. */
export function nodeCommand(options: () => GlobalOptions): Command {
  const list = new Command('ls')
    .alias('list')
    .description('list the hosts of the cluster as this one sees them')
    .option('-q, --quiet', 'ids only')
    .addOption(nodeFilters.option)
    .addOption(formatOption(listShapes, '{{.Name}}'))
    .action(async ({ quiet, filter = [], format }: { quiet?: boolean; filter?: string[]; format: string }) => {
      const keeps = nodeFilters.test(filter);
      const hosts = (await client(options()).listNodes()).filter(keeps);
      say(quiet === true ? hosts.map((host) => host.peer).join('\n') : renderNodes(hosts, format));
    });
  const inspect = new Command('inspect')
    .description('show all that is known of hosts')
    .argument('<name...>')
    .addOption(formatOption(['json'], '{{.Name}}'))
    .action(async (names: string[], { format }: { format: string }) => {
      const cluster = await client(options()).clusterStatus();
      const members = await client(options()).listNodes();
      const found: object[] = [];
      await forEachName(names, async (name) => {
        found.push(...inspected(name, members, cluster));
        return '';
      });
      if (found.length > 0) say(renderInspect(found, format));
    });
  const remove = hintAtYes(new Command('rm'))
    .description('expel hosts for good; their copies are made again from the others')
    .argument('<name...>')
    .option(...yesOption)
    .option('--unsafe', 'also where some block may have no majority without it')
    .action(async (names: string[], { yes, unsafe }: { yes?: boolean; unsafe?: boolean }) => {
      const members = await client(options()).listNodes();
      const meant = await thoseThatAre(names, async (name) => {
        if (membersCalled(name, members).every(({ self }) => self))
          throw new InfinitError(
            'bad-argument',
            `${name} is this host, which cannot expel itself: say it on another, or \`infinit cluster leave\` here`,
          );
      });
      if (meant.length === 0) return;
      if (yes !== true) await insist(`Expel ${meant.join(', ')}? It is let in never again.`, 'nobody was expelled');
      await forEachName(meant, async (name) => {
        await client(options()).removeNode(name, unsafe === true);
        return name;
      });
    });
  const drain = new Command('drain')
    .description('have a host give its blocks away, and wait until it may leave (`infinit cluster leave` on it, then stop its daemon)')
    .argument('<name>')
    .option('--cancel', 'it stays after all')
    .option('-d, --detach', 'do not wait')
    .action(async (name: string, { cancel, detach }: { cancel?: boolean; detach?: boolean }) => {
      const daemon = client(options());
      const fewer = cancel === true ? undefined : fewerCopies(name, await daemon.status());
      await daemon.drainNode(name, cancel !== true);
      if (fewer !== undefined) process.stderr.write(`${fewer}\n`);
      if (cancel !== true && detach !== true) await waitUntilDrained(daemon, name);
      say(name);
    });
  return new Command('node').description('manage the hosts of the cluster').addCommand(list).addCommand(inspect).addCommand(drain).addCommand(remove);
}

/** Says now and then how far it is, until the host stores nothing that a view in force leads to. */
async function waitUntilDrained(daemon: ControlClient, name: string): Promise<void> {
  using line = new Progress();
  let told: ReadonlySet<string> = new Set();
  let most = 0;
  for (;;) {
    const { hosts, silent } = await daemon.clusterStatus();
    const [host] = hostsCalled(name, hosts);
    if (host?.roster.standing === 'fresh') {
      line.note(`nothing that ${name} stores is needed any longer: say \`infinit cluster leave\` on it, then stop its daemon`);
      return;
    }
    if (host === undefined && hostsCalled(name, silent).length === 0)
      throw new InfinitError('not-found', `${name} belongs to the cluster no longer: see \`infinit node ls\``);
    if (host?.outside !== undefined) throw new InfinitError('unavailable', `${name} takes no part any longer: ${host.outside}`);
    // What it waits for, whichever of the hosts knows: several may say the same.
    const troubles = new Set(hosts.flatMap((each) => each.roster.troubles.map((trouble) => trouble.replaceAll('this host', each.name))));
    for (const trouble of troubles) if (!told.has(trouble)) line.note(trouble);
    told = troubles;
    if (host === undefined) line.say(`${name} does not answer`);
    else {
      most = Math.max(most, host.disk.liveBytes);
      const { text, done } = drainProgress(host, hosts, most);
      line.say(text, done);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
