import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync, rmdirSync } from 'node:fs';
import path from 'node:path';

import { Command } from 'commander';

import { type ControlClient, directoryOf, holderOf, makeDirectory } from '../../api/index.ts';
import { codeOf, InfinitError } from '../../base/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';

/** `infinit volume mount`. */
export function mountCommand(options: () => GlobalOptions): Command {
  return new Command('mount')
    .description('mount a volume on a directory of this host')
    .argument('<name>')
    .argument('<directory>')
    .action(async (name: string, directory: string) => {
      refuseEmpty(directory);
      // Before a directory is made for a volume that there is not.
      await client(options()).inspectVolume(name);
      const uppermost = makeDirectory(directory);
      // Where the directory really is.
      const place = realpathSync(directory);
      const there = mountedAt(place);
      if (there !== undefined)
        throw new InfinitError('in-use', `volume "${there}" is mounted at ${place} already; \`infinit volume unmount ${place}\` ends that`);
      if (readdirSync(place).length > 0)
        process.stderr.write(`infinit: ${place} is not empty: what is in it is hidden as long as the volume is mounted there\n`);
      try {
        const mountpoint = await client(options()).mountVolume(name, holderOf(place));
        try {
          run('mount', '--bind', mountpoint, place);
        } catch (error) {
          // What is amiss is what mount(8) said; a hold that stays, `infinit volume unmount` takes away.
          await client(options())
            .unmountVolume(name, holderOf(place))
            .catch(() => {});
          throw error;
        }
      } catch (error) {
        if (uppermost !== undefined) unmake(path.resolve(directory), uppermost);
        throw error;
      }
      say(place);
    });
}

/** `infinit volume unmount`. */
export function unmountCommand(options: () => GlobalOptions): Command {
  return new Command('unmount')
    .alias('umount')
    .description('undo `volume mount`: of a directory, of a volume that is mounted on one only, or of a volume on a directory')
    .argument('<name|directory>')
    .argument('[directory]')
    .action(async (first: string, second: string | undefined) => {
      refuseEmpty(second ?? first);
      const daemon = client(options());
      const { name, place } = second === undefined ? await meant(daemon, first) : await mountOf(daemon, first, second);
      // Somebody may have unmounted it by hand, or the host was started anew: what is left then is the daemon's hold.
      if (mountedAt(place) !== undefined) run('umount', place);
      await daemon.unmountVolume(name, holderOf(place));
      say(place);
    });
}

/** An unset variable of a script would else be the directory in which it runs. */
function refuseEmpty(directory: string): void {
  if (directory === '') throw new InfinitError('bad-argument', 'a directory is wanted, and the one that was given is empty');
}

interface Mount {
  readonly name: string;
  readonly place: string;
}

/** A volume by its name where there is one, else a directory. */
async function meant(daemon: ControlClient, given: string): Promise<Mount> {
  const holders = given.includes('/') ? undefined : await holdersOf(daemon, given);
  if (holders === undefined) return mountAt(daemon, given, given.includes('/'));
  const [place, ...others] = directoriesOf(holders);
  if (place === undefined) throw new InfinitError('not-found', `volume "${given}" is mounted on no directory of this host`);
  if (others.length > 0)
    throw new InfinitError('bad-argument', `volume "${given}" is mounted at ${[place, ...others].join(', ')}: name one of these directories`);
  return { name: given, place };
}

async function holdersOf(daemon: ControlClient, name: string): Promise<readonly string[] | undefined> {
  try {
    return (await daemon.inspectVolume(name)).holders;
  } catch (error) {
    if (codeOf(error) === 'not-found') return undefined;
    throw error;
  }
}

async function mountAt(daemon: ControlClient, directory: string, certainly: boolean): Promise<Mount> {
  const volumes = await daemon.listVolumes();
  for (const place of placesOf(directory)) {
    const volume = volumes.find(({ holders }) => holders.includes(holderOf(place)));
    if (volume !== undefined) return { name: volume.name, place };
  }
  // A volume that was removed on another host is in no list, and its mount lives on.
  const { mounted } = await daemon.status();
  for (const place of placesOf(directory)) {
    const there = mountedAt(place);
    if (there !== undefined && mounted.includes(there)) return { name: there, place };
  }
  throw new InfinitError(
    'not-found',
    certainly ? `no volume is mounted at ${placesOf(directory)[0]}` : `no volume "${directory}" is mounted, and nothing at that path`,
  );
}

async function mountOf(daemon: ControlClient, name: string, directory: string): Promise<Mount> {
  const { holders } = await daemon.inspectVolume(name);
  const places = placesOf(directory);
  const place = places.find((each) => holders.includes(holderOf(each)));
  if (place !== undefined) return { name, place };
  const elsewhere = directoriesOf(holders);
  const but = elsewhere.length === 0 ? '' : `, but at ${elsewhere.join(', ')}`;
  throw new InfinitError('not-found', `volume "${name}" is not mounted at ${places[0]}${but}`);
}

function directoriesOf(holders: readonly string[]): readonly string[] {
  return holders.flatMap((holder) => directoryOf(holder) ?? []);
}

/** What a directory may have been mounted as: what it leads to, or its own name where it is gone or its volume does not answer. */
function placesOf(directory: string): readonly string[] {
  const place = path.resolve(directory);
  return [path.join(realPathOf(path.dirname(place)), path.basename(place)), realPathOf(place)];
}

/** Takes directories away that were made just now, up to the uppermost, as long as there is nothing in them. */
function unmake(directory: string, uppermost: string): void {
  try {
    for (let place = directory; ; place = path.dirname(place)) {
      rmdirSync(place);
      if (place === uppermost) return;
    }
  } catch {
    // Somebody uses it by now.
  }
}

function realPathOf(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory;
  }
}

/** The volume that a directory shows. @param mounts As /proc/self/mounts lists them. */
export function mountedAt(place: string, mounts: string = readFileSync('/proc/self/mounts', 'utf8')): string | undefined {
  // The kernel writes these in octal, and no others that count as blanks.
  const written = place.replaceAll(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
  const [source, , type] =
    mounts
      .split('\n')
      .findLast((line) => line.split(' ')[1] === written)
      ?.split(' ') ?? [];
  return type === 'fuse.infinit' ? source : undefined;
}

/** Runs mount(8) or umount(8) in the caller's own mount namespace, where the person wants to see the directory. */
function run(program: 'mount' | 'umount', ...args: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (status === 0) return;
  const said = (error?.message ?? stderr).trim();
  throw new InfinitError(said.includes('busy') ? 'in-use' : 'denied', `${program} ${args.join(' ')}: ${said}`);
}
