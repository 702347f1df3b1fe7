import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';

import { Command } from 'commander';

import type { Health } from '../../api/index.ts';
import { codeOf, messageOf } from '../../base/index.ts';
import { clusterFindings, type Finding } from '../cluster-findings.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { hiddenVolumes } from '../docker-findings.ts';
import { hostFindings } from '../host-findings.ts';
import { formatOption, humanBytes, renderInspect } from '../output.ts';

/** Free room below this is a warning. */
const scarceBytes = 5 * 1024 ** 3;
/** A daemon larger than this deserves a look. */
const largeDaemonBytes = 2 * 1024 ** 3;

async function checkDocker(socketPath: string): Promise<Finding> {
  if (!existsSync(socketPath))
    return {
      topic: 'docker',
      level: 'warning',
      finding: `no Docker Engine at ${socketPath}`,
      advice: '`apt-get install docker.io`; without it volumes can still be mounted with `infinit volume mount`',
    };
  const failure = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const probe = connect(socketPath, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.on('error', resolve);
  });
  if (failure === undefined) return { topic: 'docker', level: 'ok', finding: `the Docker Engine answers at ${socketPath}` };
  if (failure.code === 'EACCES') return { topic: 'docker', level: 'error', finding: `no right to use ${socketPath}`, advice: 'use sudo' };
  return { topic: 'docker', level: 'error', finding: `${socketPath} is there but nobody answers`, advice: 'start dockerd' };
}

function healthFinding({ state, reasons }: Health): Finding {
  if (state === 'HEALTHY') return { topic: 'health', level: 'ok', finding: state };
  const level = state === 'DEGRADED' ? 'warning' : 'error';
  return { topic: 'health', level, finding: `${state}: ${reasons.join('; ')}`, advice: 'see `infinit status`' };
}

async function checkDaemon(options: GlobalOptions, dockerSocket: string): Promise<Finding[]> {
  try {
    const cluster = await client(options).clusterStatus();
    const status = cluster.hosts[0]!;
    const { disk } = status;
    const findings: Finding[] = [{ topic: 'daemon', level: 'ok', finding: `${status.name} answers on ${options.controlSocket}` }];
    // What keeps it out of its cluster is said below, with what to do.
    if (status.outside === undefined) findings.push(healthFinding(cluster.health));
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
    // A host that is no member knows of no volumes.
    const hidden =
      status.outside === undefined
        ? await hiddenVolumes(
            dockerSocket,
            (await client(options).listVolumes()).map(({ name }) => name),
          )
        : [];
    return [...findings, ...hidden, ...clusterFindings(cluster, Date.now())];
  } catch (error) {
    const advice = codeOf(error) === 'denied' ? 'use sudo' : 'start it: `sudo npm start`, or `infinit daemon`';
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

/** `infinit doctor`: exits 1 where something must be mended before volumes work. */
export function doctorCommand(options: () => GlobalOptions): Command {
  return new Command('doctor')
    .description('look for what keeps Infinit from working, and say what to do')
    .addOption(formatOption(['table', 'json'], '{{.Topic}}'))
    .option('--docker-socket <path>', 'the Docker Engine', '/var/run/docker.sock')
    .action(async ({ format, dockerSocket }: { format: string; dockerSocket: string }) => {
      const findings = [
        ...hostFindings(),
        await checkDocker(path.resolve(dockerSocket)),
        ...(await checkDaemon(options(), path.resolve(dockerSocket))),
      ];
      say(format === 'table' ? show(findings) : renderInspect(findings, format));
      if (findings.some((finding) => finding.level === 'error')) process.exitCode = 1;
    });
}
