import type { Health } from '../api/index.ts';
import { codeOf, messageOf } from '../base/index.ts';
import { clusterFindings, type Finding, linkFindings } from './cluster-findings.ts';
import { containerFindings } from './container-mounts.ts';
import { client, type GlobalOptions, say } from './context.ts';
import { type ManagedPlugin, managedPlugin } from './docker-engine.ts';
import { dockerFindings, hiddenVolumes, startAdvice } from './docker-findings.ts';
import { hostFindings } from './host-findings.ts';
import { humanBytes, renderInspect } from './output.ts';
import { mismatch, mismatchAdvice } from './version-mismatch.ts';

/** Free room below this is a warning. */
const scarceBytes = 5 * 1024 ** 3;
/** A daemon larger than this deserves a look. */
const largeDaemonBytes = 2 * 1024 ** 3;

function healthFinding({ state, reasons }: Health): Finding {
  if (state === 'HEALTHY') return { topic: 'health', level: 'ok', finding: state };
  const level = state === 'DEGRADED' ? 'warning' : 'error';
  return { topic: 'health', level, finding: `${state}: ${reasons.join('; ')}`, advice: 'see `infinit status`' };
}

async function checkDaemon(options: GlobalOptions, engineSocket: string | undefined, managed: ManagedPlugin | undefined): Promise<Finding[]> {
  try {
    const cluster = await client(options).clusterStatus();
    const status = cluster.hosts[0]!;
    const { disk } = status;
    const findings: Finding[] = [{ topic: 'daemon', level: 'ok', finding: `${status.name} answers on ${options.controlSocket}` }];
    const other = mismatch(status.version);
    if (other !== undefined) findings.push({ topic: 'version', level: 'warning', finding: other, advice: mismatchAdvice });
    // What keeps it out of its cluster is said below, with what to do.
    if (status.outside === undefined) findings.push(...linkFindings(cluster), healthFinding(cluster.health));
    findings.push(
      disk.freeBytes < scarceBytes
        ? {
            topic: 'disk',
            level: 'warning',
            finding: `${humanBytes(disk.freeBytes)} free`,
            advice: 'free some room, or add a host: a full disk makes this host read-only',
          }
        : { topic: 'disk', level: 'ok', finding: `${humanBytes(disk.freeBytes)} free` },
    );
    if (status.memoryBytes > largeDaemonBytes)
      findings.push({
        topic: 'memory',
        level: 'warning',
        finding: `the daemon takes ${humanBytes(status.memoryBytes)}`,
        advice: 'please report it, with `infinit status --format json`',
      });
    // A host that is no member knows of no volumes, and one without a majority would try long to list them.
    const hidden =
      status.outside === undefined && cluster.health.state !== 'UNAVAILABLE' && engineSocket !== undefined
        ? await hiddenVolumes(
            engineSocket,
            (await client(options).listVolumes()).map(({ name }) => name),
          )
        : [];
    return [...findings, ...hidden, ...clusterFindings(cluster, Date.now())];
  } catch (error) {
    const advice = codeOf(error) === 'denied' ? 'use sudo' : startAdvice(options.controlSocket, managed);
    return [{ topic: 'daemon', level: 'error', finding: messageOf(error), advice }];
  }
}

function show(findings: readonly Finding[]): string {
  const signs = { ok: ' ok ', warning: 'WARN', error: 'FAIL' } as const;
  return findings
    .map(
      ({ topic, level, finding, advice }) =>
        `[${signs[level]}] ${topic.padEnd(8)} ${finding}${advice === undefined ? '' : `\n${' '.repeat(16)}→ ${advice}`}`,
    )
    .join('\n');
}

/** Looks at everything, shows it and leaves the exit code 1 where something must be mended. @param engine Docker's socket, and `plugin` the daemon's; undefined: without. */
export async function checkUp(options: GlobalOptions, format: string, engine: string | undefined, plugin: string | undefined): Promise<void> {
  const managed = engine === undefined ? undefined : await managedPlugin(engine);
  const findings: Finding[] = [];
  // A table is shown as it grows: what asks the network may take its time.
  const add = (more: readonly Finding[]): void => {
    findings.push(...more);
    if (format === 'table' && more.length > 0) say(show(more));
  };
  add(await hostFindings());
  if (engine !== undefined) add(await dockerFindings(engine, plugin, managed));
  const daemon = await checkDaemon(options, engine, managed);
  add(daemon);
  const daemonRuns = daemon.some(({ topic, level }) => topic === 'daemon' && level === 'ok');
  if (engine !== undefined) add(await containerFindings(engine, daemonRuns));
  if (format !== 'table') say(renderInspect(findings, format));
  if (findings.some((finding) => finding.level === 'error')) process.exitCode = 1;
}
