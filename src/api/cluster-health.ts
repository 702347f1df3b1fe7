import { type ClusterStatus, copiesOf, type Health, healthOutside, type HostStatus, noMajority, worst } from './status.ts';

/** How the whole cluster is, from what its hosts say of themselves and who says nothing. */
export function clusterHealth({ hosts, silent, troubles }: Omit<ClusterStatus, 'health'>): Health {
  const own = hosts[0]!;
  if (own.outside !== undefined) return worst([healthOutside(own.outside), ...disksOf(hosts)]);
  return worst([
    ...silenceOf(own, silent),
    ...disksOf(hosts),
    ...countsOf(hosts),
    ...rostersOf(hosts),
    ...waitingOf(hosts),
    ...troublesOf(own, troubles),
  ]);
}

/** How many hosts store blocks, as one of them sees it; itself where it knows no others. */
export function storingHosts({ hosts }: Pick<HostStatus, 'hosts'>): number {
  return hosts.length === 0 ? 1 : hosts.filter(({ capacity, state }) => capacity > 0 && state !== 'counted out').length;
}

/** Hosts that store, and how many copies of a block may be missing while it can still be written. */
function copies(own: HostStatus): { readonly storing: number; readonly spare: number } {
  const storing = storingHosts(own);
  return { storing, spare: copiesOf(own.replicas.wanted, storing).spare };
}

function silenceOf(own: HostStatus, silent: ClusterStatus['silent']): Health[] {
  const { storing } = copies(own);
  const missed = silent.filter(({ countedOut }) => !countedOut);
  const findings: Health[] = missed.map(({ name, reason }) => ({ state: 'DEGRADED', reasons: [`${name} does not answer: ${reason}`] }));
  const lost = silent.filter(({ stores }) => stores).length;
  const cut = noMajority({ wanted: own.replicas.wanted, storing, lost });
  if (cut !== undefined) findings.push(cut);
  // A host that drains gives its copies away; lost is who does not answer, whatever it was about to do.
  const leaving = own.hosts.filter(
    ({ peer, capacity, state }) => capacity > 0 && state === 'draining' && missed.every((one) => one.peer !== peer),
  ).length;
  const up = storing - lost - leaving;
  if (up < own.replicas.wanted)
    findings.push({
      state: 'DEGRADED',
      reasons: [`${own.replicas.wanted} copies are wanted and ${up === 1 ? '1 host keeps' : `${up} hosts keep`} blocks`],
    });
  return findings;
}

function disksOf(hosts: readonly HostStatus[]): Health[] {
  const { spare } = copies(hosts[0]!);
  const stores = ({ peer }: HostStatus): boolean => hosts[0]!.hosts.every((host) => host.peer !== peer || host.capacity > 0);
  const full = hosts.filter(({ disk }) => disk.state === 'read-only');
  const name = (host: HostStatus): string => (hosts.length === 1 ? 'this host' : host.name);
  return [
    // While enough others take writes, one disk is no reason to stop.
    ...full.map((host): Health => ({
      state: full.filter(stores).length > spare && stores(host) ? 'READ-ONLY' : 'DEGRADED',
      reasons: [`${name(host)} takes no writes: ${host.disk.reason ?? 'its disk is read-only'}`],
    })),
    ...hosts
      .filter(({ disk }) => disk.damaged > 0)
      .map((host): Health => ({ state: 'DEGRADED', reasons: [`${host.disk.damaged} damaged records were found on the disk of ${name(host)}`] })),
  ];
}

/** What hinders blocks from following the roster. */
function rostersOf(hosts: readonly HostStatus[]): Health[] {
  const said = hosts.flatMap(({ name, roster }) => roster.troubles.map((trouble) => ({ name, trouble })));
  // What all hosts say alike is one reason, not one for each.
  return [...Map.groupBy(said, ({ trouble }) => trouble)].map(([trouble, by]) => ({
    state: 'DEGRADED',
    reasons: [`${by.map(({ name }) => name).join(', ')}: ${trouble}`],
  }));
}

/** Volumes whose programs wait for a daemon that followed one that died. */
function waitingOf(hosts: readonly HostStatus[]): Health[] {
  return hosts.flatMap(({ name, waiting = [] }) => waiting.map((sentence): Health => ({ state: 'DEGRADED', reasons: [`${name}: ${sentence}`] })));
}

/** What repair counted. Each block is counted by one host. */
function countsOf(hosts: readonly HostStatus[]): Health[] {
  const sum = (field: 'underReplicated' | 'underQuorum' | 'damaged' | 'givenUp'): number =>
    hosts.reduce((total, { repair }) => total + (repair?.lastCheck?.counts[field] ?? 0), 0);
  const findings: Health[] = [];
  if (sum('underQuorum') > 0)
    findings.push({
      state: 'UNAVAILABLE',
      reasons: [`blocks without a majority of copies in reach: ${sum('underQuorum')} (infinit salvage lists them, and who is missing)`],
    });
  if (sum('givenUp') > 0)
    findings.push({
      state: 'DEGRADED',
      reasons: [`blocks that are lost and were given up: ${sum('givenUp')} (infinit salvage --give-up lists them)`],
    });
  if (sum('underReplicated') > 0) findings.push({ state: 'DEGRADED', reasons: [`blocks with fewer copies than wanted: ${sum('underReplicated')}`] });
  if (sum('damaged') > 0) findings.push({ state: 'DEGRADED', reasons: [`damaged records not replaced yet: ${sum('damaged')}`] });
  return findings;
}

const harmful: ReadonlySet<string> = new Set(['duplicate-identity', 'older-state', 'clock', 'wrong-version', 'disputed']);

/** An address that does not answer is no harm while its host is reached otherwise, and this host's own among those to join never is; the rest is. */
function troublesOf(own: HostStatus, troubles: ClusterStatus['troubles']): Health[] {
  const alone = own.hosts.length === 0;
  return troubles
    .filter(({ kind }) => harmful.has(kind) || (alone && kind !== 'self'))
    .map(({ message }) => ({ state: 'DEGRADED', reasons: [message] }));
}
