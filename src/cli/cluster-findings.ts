import { type ClusterStatus, copiesOf, storingHosts } from '../api/index.ts';
import { humanDuration } from './output.ts';

/** One thing looked at: how it is and, where it is not well, what to do. */
export interface Finding {
  readonly topic: string;
  readonly level: 'ok' | 'warning' | 'error';
  readonly finding: string;
  readonly advice?: string;
}

/** Hosts' clocks may differ by so much, in seconds, before somebody wonders about file times. */
const clockToleranceSeconds = 3;
/** A passport that ends sooner is worth a word. */
const passportWarningSeconds = 30 * 86_400;

const troubleAdvice: Readonly<Record<string, string>> = {
  unreachable: 'is the daemon running there, and its --listen port open in the firewall?',
  denied: 'make a new token on a member that may invite (`infinit cluster token create FILE`), and join with it',
  'wrong-version': 'run one version on all hosts: upgrade the older ones first',
  self: 'take this host out of --join, or give another member there',
  'duplicate-identity': 'stop the copy: a state directory belongs to one host; the other needs a fresh one and a token',
  'older-state': 'expel it (`infinit node rm` on another host), and let it join as a new host with an empty state directory and a new token',
  clock: 'set the clocks by NTP (`timedatectl set-ntp true`)',
  disputed: 'on a host that may expel: `infinit node rm`; one that was expelled may join as a new host with an empty state directory and a new token',
};

/** What the hosts of a cluster, seen together, have amiss. @param nowMs This host's wall clock when the answer came. */
export function clusterFindings(status: ClusterStatus, nowMs: number): Finding[] {
  const own = status.hosts[0]!;
  if (own.outside !== undefined) return outside(own.outside, status);
  if (status.clusterId === undefined) {
    const wanted = own.replicas.wanted;
    if (wanted === 1) return [{ topic: 'cluster', level: 'ok', finding: 'this host is alone, with one copy of each block' }, ...troubles(status)];
    return [
      {
        topic: 'cluster',
        level: 'warning',
        finding: `this host is alone, and ${wanted} copies of each block are wanted`,
        advice: 'join more hosts (README, “Several hosts”), or start the daemon with --replicas 1',
      },
      ...troubles(status),
    ];
  }
  return [...membership(status), ...versions(status), ...clocks(status, nowMs), ...passports(status, nowMs), ...troubles(status)];
}

/** A host that is no member, with the advice for what keeps it out; then the troubles that this did not say. */
function outside(why: string, status: ClusterStatus): Finding[] {
  const said = status.troubles.filter(({ message }) => why.includes(message));
  // The words are the overlay's own for a host that was told so.
  const advice = /expelled|has left/.test(why)
    ? 'stop this daemon; to come back it needs an empty --state-dir and a new token (`infinit cluster token create FILE` on a member)'
    : /must not take part/.test(why)
      ? troubleAdvice['older-state']!
      : (said.flatMap(({ kind }) => troubleAdvice[kind] ?? [])[0] ?? 'name a running member: `infinit cluster join TOKEN-FILE HOST:PORT`');
  const finding = `not a member of the cluster, so no volume is served: ${why}`;
  return [
    { topic: 'cluster', level: 'error', finding, advice },
    ...troubles({ ...status, troubles: status.troubles.filter((trouble) => !said.includes(trouble)) }),
  ];
}

/** What comes first on a host that hears no majority: the one thing that most of the others, silent at once, share is this host's link. */
export function linkFindings({ hosts, silent }: Pick<ClusterStatus, 'hosts' | 'silent'>): Finding[] {
  const missed = silent.filter(({ countedOut }) => !countedOut).length;
  if (missed < hosts.length) return [];
  return [
    {
      topic: 'hosts',
      level: 'error',
      finding: `this host hears fewer than a majority (${missed} of ${hosts.length + missed} hosts do not answer): its own link may be cut`,
      advice: "look at this host's network first, then at those hosts; remove none of them before that",
    },
  ];
}

function membership({ clusterId, hosts, silent }: ClusterStatus): Finding[] {
  const own = hosts[0]!;
  const cut = linkFindings({ hosts, silent }).length > 0;
  const missed = silent.filter(({ stores, countedOut }) => stores && !countedOut).length;
  const hidesMajorities = missed > copiesOf(own.replicas.wanted, storingHosts(own)).spare;
  const lostForGood = (name: string): string =>
    hidesMajorities
      ? `look at it: blocks need it; if all that do not answer are lost for good: \`infinit node rm --unsafe ${name}\`, and then \`infinit salvage\` (docs/operating.md, “When the majority of a block's hosts is lost for good”)`
      : `look at it; if it is lost for good: \`infinit node rm ${name}\``;
  const findings: Finding[] = [];
  for (const { name, reason, countedOut } of silent)
    findings.push({
      topic: 'hosts',
      level: countedOut ? 'warning' : 'error',
      finding: countedOut ? `${name} was silent for so long that other hosts took its place` : `${name} does not answer: ${reason}`,
      advice: cut ? "see first whether it is this host's link" : lostForGood(name),
    });
  if (silent.length === 0)
    findings.push({ topic: 'hosts', level: 'ok', finding: `all ${hosts.length} hosts of cluster ${clusterId!.slice(0, 12)} answer` });
  const storing = storingHosts(own);
  if (storing < own.replicas.wanted)
    findings.push({
      topic: 'copies',
      level: 'warning',
      finding: `${own.replicas.wanted} copies of each block are wanted, ${storing} host${storing === 1 ? ' stores' : 's store'} blocks`,
      advice: 'join more hosts (README, “Several hosts”); how many copies a cluster wants was fixed by --replicas of the host that founded it',
    });
  return findings;
}

function versions({ hosts, silent }: ClusterStatus): Finding[] {
  const all = [...new Set(hosts.map(({ version }) => version))];
  const who = silent.length === 0 ? 'all hosts' : 'all hosts that answer';
  if (all.length === 1) return [{ topic: 'version', level: 'ok', finding: `${who} run ${all[0]}` }];
  const named = all.map((version) => `${version} (${hosts.flatMap((host) => (host.version === version ? [host.name] : [])).join(', ')})`);
  return [{ topic: 'version', level: 'warning', finding: `several versions run: ${named.join(', ')}`, advice: 'finish the upgrade' }];
}

function clocks({ hosts }: ClusterStatus, nowMs: number): Finding[] {
  // Each host read its clock a moment before the answer came: later than this is wrong for certain, earlier by more than the tolerance too.
  const wrong = hosts.slice(1).flatMap(({ name, time }) => {
    const seconds = (Date.parse(time) - nowMs) / 1000;
    return Math.abs(seconds) > clockToleranceSeconds
      ? [`the clock of ${name} is ${humanDuration(Math.abs(Math.round(seconds)))} ${seconds > 0 ? 'ahead of' : 'behind'} this host's`]
      : [];
  });
  if (wrong.length === 0)
    return hosts.length > 1 ? [{ topic: 'clocks', level: 'ok', finding: `within ${clockToleranceSeconds} s of each other` }] : [];
  return wrong.map((finding) => ({ topic: 'clocks', level: 'warning', finding, advice: troubleAdvice['clock']! }));
}

function passports({ hosts }: ClusterStatus, nowMs: number): Finding[] {
  return hosts[0]!.hosts.flatMap(({ name, passportExpiresAt }): Finding[] => {
    if (passportExpiresAt === undefined) return [];
    const seconds = Math.round((Date.parse(passportExpiresAt) - nowMs) / 1000);
    if (seconds > passportWarningSeconds) return [];
    const finding = seconds <= 0 ? `the passport of ${name} has expired` : `the passport of ${name} expires in ${humanDuration(seconds)}`;
    return [{ topic: 'passport', level: seconds <= 0 ? 'error' : 'warning', finding, advice: `give ${name} a new token before` }];
  });
}

function troubles({ troubles: all }: ClusterStatus): Finding[] {
  return all.map(({ kind, message }) => ({
    topic: 'network',
    level: kind === 'unreachable' || kind === 'self' ? 'warning' : 'error',
    finding: message,
    ...(troubleAdvice[kind] === undefined ? {} : { advice: troubleAdvice[kind] }),
  }));
}
