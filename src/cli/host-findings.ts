import { accessSync, constants, existsSync } from 'node:fs';
import { release } from 'node:os';

import { plainly } from '../base/index.ts';
import { linux, listMounts } from '../fuse/index.ts';
import type { Finding } from './cluster-findings.ts';
import { type MountAnswer, probeMounts } from './mount-probe.ts';

/** What this host by itself, whether a daemon runs or not, has amiss. */
export async function hostFindings(): Promise<Finding[]> {
  return [kernelFinding(release()), checkRights(), checkFuse(), checkMountProgram(), checkClock(), ...(await checkMounts())];
}

function isBefore(version: string, other: string): boolean {
  const [[major = 0, minor = 0], [otherMajor = 0, otherMinor = 0]] = [version, other].map((text) => text.split('.').map(Number)) as [
    number[],
    number[],
  ];
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

/** @param version as `uname -r` says it. */
export function kernelFinding(version: string): Finding {
  const finding = `Linux ${version}`;
  if (isBefore(version, linux.least)) return { topic: 'kernel', level: 'error', finding, advice: `Linux ${linux.least} or newer is needed` };
  if (!isBefore(version, linux.keepsMounts)) return { topic: 'kernel', level: 'ok', finding: `${finding}: mounts survive a crash of the daemon` };
  const advice = `before Linux ${linux.keepsMounts} mounts end with the daemon: after a crash of it restart the containers that use a volume`;
  return { topic: 'kernel', level: 'warning', finding, advice };
}

function checkRights(): Finding {
  const root = process.getuid?.() === 0;
  return root
    ? { topic: 'rights', level: 'ok', finding: 'running as root' }
    : { topic: 'rights', level: 'error', finding: 'not root', advice: 'mounting needs root: use sudo' };
}

function checkFuse(): Finding {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return { topic: 'fuse', level: 'ok', finding: '/dev/fuse can be opened' };
  } catch (error) {
    return {
      topic: 'fuse',
      level: 'error',
      finding: `/dev/fuse cannot be opened: ${plainly(error)}`,
      advice: existsSync('/dev/fuse')
        ? 'use sudo; in a container pass --device /dev/fuse --cap-add SYS_ADMIN'
        : 'load it with `modprobe fuse`; in a container pass --device /dev/fuse --cap-add SYS_ADMIN',
    };
  }
}

function checkMountProgram(): Finding {
  const found = ['/bin/mount', '/usr/bin/mount'].some((file) => existsSync(file));
  return found
    ? { topic: 'mount', level: 'ok', finding: 'mount(8) is installed' }
    : { topic: 'mount', level: 'error', finding: 'mount(8) is missing', advice: '`apt-get install mount`' };
}

function checkClock(): Finding {
  // A machine that lost its clock begins in 1970, or where its firmware was made.
  const year = new Date().getFullYear();
  if (year < 2025 || year > 2100)
    return {
      topic: 'clock',
      level: 'error',
      finding: `the clock says ${year}`,
      advice: 'set it: tokens and file times depend on it (safety of data does not)',
    };
  return { topic: 'clock', level: 'ok', finding: new Date().toISOString() };
}

async function checkMounts(): Promise<Finding[]> {
  const places = (await listMounts('/')).map(({ mountPoint }) => mountPoint);
  return mountFindings(places, await probeMounts(places));
}

/** @param answers Of each place. */
export function mountFindings(places: readonly string[], answers: readonly MountAnswer[]): Finding[] {
  const [dead, silent] = (['dead', 'silent'] as const).map((kind) => places.filter((_, index) => answers[index] === kind)) as [string[], string[]];
  const findings: Finding[] = [];
  if (dead.length > 0)
    findings.push({
      topic: 'mounts',
      level: 'error',
      finding: `dead mounts: ${dead.join(', ')}`,
      advice: 'start the daemon: it mends its own and those of `infinit volume mount`; others by hand: `umount -l`',
    });
  if (silent.length > 0)
    findings.push({
      topic: 'mounts',
      level: 'error',
      finding: `${silent.length} of ${places.length} mounted ${silent.length === 1 ? 'does' : 'do'} not answer: ${silent.join(', ')}`,
      advice: 'calls there wait until the hosts that keep the data, or the daemon, answer again: see `infinit status`',
    });
  return findings.length > 0 ? findings : [{ topic: 'mounts', level: 'ok', finding: `${places.length} mounted, none dead` }];
}
