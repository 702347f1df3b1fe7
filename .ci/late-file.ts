/** What a test file was doing that did not end: which tests were under way, and whether it was busy or waited. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processors' time is measured for so long. */
const sampleMs = 1000;
/** A second of processor time, as /proc counts. */
const ticksPerSecond = 100;

interface Process {
  readonly pid: number;
  readonly command: string;
  readonly state: string;
  readonly ticks: number;
}

/**
 * @param group of processes that the file runs in; undefined: it never began.
 * @param log the file that under-way.ts wrote.
 */
export async function describeLate(group: number | undefined, log: string): Promise<string> {
  const before = new Map(processesOf(group).map(({ pid, ticks }) => [pid, ticks]));
  await sleep(sampleMs);
  const processes = processesOf(group).map(({ pid, command, state, ticks }) => {
    const percent = Math.round(((ticks - (before.get(pid) ?? ticks)) / ticksPerSecond / sampleMs) * 100_000);
    return `${pid} (${command.slice(0, 40)}): state ${state}, ${percent} % of a processor now, ${ticks / ticksPerSecond} s in all`;
  });
  return [`under way: ${testsUnderWay(readFileSync(log, 'utf8')).join(', ') || 'no test'}`, ...processes].join('\n');
}

function testsUnderWay(log: string): string[] {
  const tests = new Set<string>();
  for (const line of log.split('\n').filter((one) => one !== '')) {
    if (line.startsWith('+')) tests.add(line.slice(1));
    else tests.delete(line.slice(1));
  }
  return [...tests];
}

function processesOf(group: number | undefined): Process[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
        .split(/\) (?=[A-Z] )/)[1]!
        .split(' ');
      if (Number(fields[2]) !== group) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return [{ pid: Number(name), command, state: fields[0]!, ticks: Number(fields[11]) + Number(fields[12]) }];
    } catch {
      // No process, or one that has ended.
      return [];
    }
  });
}
