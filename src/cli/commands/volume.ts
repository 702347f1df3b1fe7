import { Command } from 'commander';

import { codeOf, InfinitError, messageOf } from '../../base/index.ts';
import {
  changeableOptions,
  checkNewVolumeName,
  ControlClient,
  type HealthState,
  type HostStatus,
  noVolumeToRemove,
  type Volume,
  type VolumeCheck,
  type VolumeUsage,
} from '../../api/index.ts';
import { trashCommand } from './trash.ts';
import { mountCommand, unmountCommand } from './volume-mount.ts';
import { ListFilters } from '../list-filters.ts';
import { volumeOptionHelp } from '../volume-option-help.ts';
import { sayingWhatFor } from '../waiting.ts';
import { client, forEachName, type GlobalOptions, insist, say, thoseThatAre } from '../context.ts';
import { type Column, formatOption, humanBytes, listShapes, renderInspect, renderList } from '../output.ts';

/** How long a host may take to say how it is, in ms. */
const statusDeadlineMs = 2000;

const columns: readonly Column<Volume>[] = [
  { header: 'DRIVER', field: 'Driver', value: () => 'infinit' },
  { header: 'VOLUME NAME', field: 'Name', value: (volume) => volume.name },
  { header: 'SIZE', field: 'Size', value: (volume) => volume.options['size'] ?? '' },
  { header: 'REPLICAS', field: 'Replicas', value: (volume) => volume.options['replicas'] ?? '' },
  { header: 'MOUNTED ON', field: 'Hosts', value: (volume) => volume.hosts.join(',') },
  { header: 'HEALTH', field: 'Health', value: (volume) => volume.health.state },
];

/** `-o key=value`, repeatable; a key without a value is a switch, with the empty value that Docker makes of it. */
export function collectOption(given: string, before: Record<string, string> = {}): Record<string, string> {
  const at = given.indexOf('=');
  return { ...before, [at < 0 ? given : given.slice(0, at)]: at < 0 ? '' : given.slice(at + 1) };
}

/** An option without its -o would be taken for one more name, and the volumes before it would be made without it. */
function refuseOptionsAmong(names: readonly string[], outcome: string): void {
  const option = names.find((name) => name.includes('='));
  if (option !== undefined) throw new InfinitError('bad-argument', `"${option}" is no volume name: say -o ${option}; ${outcome}`);
}

/** A key never travels by itself, and without it the volume is lost. */
function sayWhereKeyIs({ name, id }: Volume): void {
  process.stderr.write(
    `The key of ${name}, keys/${id}.key in the state directory of the host where it was created, never travels: copy it to each host that is to mount the volume.\n`,
  );
}

const states: readonly HealthState[] = ['HEALTHY', 'DEGRADED', 'READ-ONLY', 'UNAVAILABLE'];

/** What `volume ls` can be limited to. */
export const volumeFilters = new ListFilters<Volume>({
  name: { keeps: ({ name }, value) => name.includes(value) },
  health: { values: states, keeps: ({ health }, value) => health.state === value },
  mounted: { values: ['true', 'false'], keeps: ({ hosts }, value) => String(hosts.length > 0) === value },
});

function create(options: () => GlobalOptions): Command {
  return new Command('create')
    .description('create a volume')
    .argument('<name...>')
    .option('-o, --opt <key=value>', 'an option of the volume, such as size=10G; as many as you like', collectOption)
    .addHelpText('after', volumeOptionHelp())
    .action((names: string[], { opt = {} }: { opt?: Record<string, string> }) => {
      refuseOptionsAmong(names, 'nothing was created');
      return forEachName(names, async (name) => {
        checkNewVolumeName(name);
        const made = await client(options()).createVolume(name, opt);
        if (made.options['encryption'] !== 'none') sayWhereKeyIs(made);
        return made.name;
      });
    });
}

function list(options: () => GlobalOptions): Command {
  return new Command('ls')
    .alias('list')
    .description('list volumes')
    .option('-q, --quiet', 'names only')
    .addOption(volumeFilters.option)
    .addOption(formatOption(listShapes, '{{.Name}}'))
    .action(async ({ quiet, filter = [], format }: { quiet?: boolean; filter?: string[]; format: string }) => {
      const keeps = volumeFilters.test(filter);
      const volumes = (await client(options()).listVolumes()).filter(keeps);
      say(quiet === true ? volumes.map((volume) => volume.name).join('\n') : renderList(volumes, columns, format));
    });
}

function inspect(options: () => GlobalOptions): Command {
  return new Command('inspect')
    .description('show all about volumes')
    .argument('<name...>')
    .addOption(formatOption(['json'], '{{.Options.Size}}'))
    .action(async (names: string[], { format }: { format: string }) => {
      const found: Volume[] = [];
      await forEachName(names, async (name) => {
        found.push(await client(options()).inspectVolume(name));
        return '';
      });
      if (found.length > 0) say(renderInspect(found, format));
    });
}

function remove(options: () => GlobalOptions): Command {
  return new Command('rm')
    .alias('remove')
    .description('remove volumes; one in use is refused')
    .argument('<name...>')
    .option('-f, --force', 'also where it does not exist, or its last writes are not written out')
    .option('-y, --yes', 'do not ask; without a terminal it is not asked')
    .action(async (names: string[], { force, yes }: { force?: boolean; yes?: boolean }) => {
      const asks = yes !== true && process.stdin.isTTY;
      const meant = asks && force !== true ? await thoseThatAre(names, (name) => removable(client(options()), name)) : names;
      if (meant.length === 0) return;
      if (asks) await insist(`Remove ${meant.join(', ')}?`, 'nothing was removed');
      await forEachName(meant, async (name) => {
        const waiting = `${name} is not removed yet: its last writes have to be written out, and other hosts asked whether they use it`;
        const status = (): Promise<HostStatus> => new ControlClient(options().controlSocket, statusDeadlineMs).status();
        await sayingWhatFor(client(options()).removeVolume(name, force === true), waiting, status);
        return name;
      });
    });
}

/** @throws InfinitError `not-found` in the words that the daemon has for whoever is not asked. */
async function removable(daemon: ControlClient, name: string): Promise<void> {
  try {
    await daemon.inspectVolume(name);
  } catch (error) {
    if (codeOf(error) !== 'not-found') throw error;
    throw noVolumeToRemove(name, await daemon.listVolumes(), await daemon.listTrash());
  }
}

function update(options: () => GlobalOptions): Command {
  return new Command('update')
    .description('change options of volumes')
    .argument('<name...>')
    .requiredOption(
      '-o, --opt <key=value>',
      'the option and its new value, such as size=20G; access and readonly while nobody has it mounted',
      collectOption,
    )
    .addHelpText('after', volumeOptionHelp(changeableOptions))
    .action((names: string[], { opt }: { opt: Record<string, string> }) => {
      refuseOptionsAmong(names, 'nothing was changed');
      return forEachName(names, async (name) => (await client(options()).updateVolume(name, opt)).name);
    });
}

function check(options: () => GlobalOptions): Command {
  return new Command('check')
    .description('look whether volumes fit together; what is wrong goes to stdout, and the exit code is 1 then')
    .argument('<name...>')
    .option(
      '--repair',
      'also free what crashed writers left, and correct usage and link counts that are wrong; of a volume that nobody has mounted: do without blocks of its own that are lost, and name in /lost+found what no directory names any more',
    )
    .addOption(formatOption(listShapes, '{{.Name}}'))
    .action(async (names: string[], { repair, format }: { repair?: boolean; format: string }) => {
      const reports: VolumeCheck[] = [];
      await forEachName(names, async (name) => {
        reports.push(await client(options()).checkVolume(name, repair === true));
        return '';
      });
      const shown: readonly Column<VolumeCheck>[] = [
        { header: 'VOLUME NAME', field: 'Name', value: (row) => row.name },
        { header: 'DIRECTORIES', field: 'Directories', value: (row) => String(row.directories), data: (row) => row.directories },
        { header: 'FILES', field: 'Files', value: (row) => String(row.files), data: (row) => row.files },
        { header: 'DATA', field: 'Data', value: (row) => humanBytes(row.allocatedBytes), data: (row) => row.allocatedBytes },
        {
          header: repair === true ? 'FREED' : 'UNREFERENCED',
          field: 'Unreferenced',
          value: (row) => unreferencedIn(row),
          data: (row) => row.unreferencedBytes ?? null,
        },
        { header: 'PROBLEMS', field: 'Problems', value: (row) => String(row.problems.length), data: (row) => row.problems.length },
      ];
      if (reports.length > 0) say(renderList(reports, shown, format));
      for (const { name, problems } of reports) for (const problem of problems) say(`${name}: ${problem}`);
      // Objects have it as it is.
      if (format === 'table')
        for (const { name, gathered = 0 } of reports)
          if (gathered > 0) say(`${name}: ${gathered} without a name are in lost+found, each under # and its number`);
      if (reports.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
    });
}

function unreferencedIn({ unreferenced, unreferencedBytes }: VolumeCheck): string {
  return unreferenced === undefined ? 'not known: not mounted' : `${unreferenced} blocks, ${humanBytes(unreferencedBytes ?? 0)}`;
}

function usage(options: () => GlobalOptions): Command {
  return new Command('usage')
    .description('show what volumes take')
    .argument('[name...]')
    .addOption(formatOption(listShapes, '{{.Name}}'))
    .action(async (names: string[], { format }: { format: string }) => {
      const wanted = names.length > 0 ? names : (await client(options()).listVolumes()).map((volume) => volume.name);
      const rows: VolumeUsage[] = [];
      await forEachName(wanted, async (name) => {
        try {
          rows.push(await client(options()).volumeUsage(name));
        } catch (error) {
          // A host need not have the keys of all volumes; one that was asked for is another matter.
          if (names.length > 0 || codeOf(error) !== 'wrong-key') throw error;
          process.stderr.write(`infinit: left out: ${messageOf(error)}\n`);
        }
        return '';
      });
      const shown: readonly Column<VolumeUsage>[] = [
        { header: 'VOLUME NAME', field: 'Name', value: (row) => row.name },
        { header: 'USED', field: 'Used', value: (row) => humanBytes(row.usedBytes), data: (row) => row.usedBytes },
        {
          header: 'SIZE',
          field: 'Size',
          value: (row) => (row.sizeBytes === 0 ? 'unlimited' : humanBytes(row.sizeBytes)),
          data: (row) => row.sizeBytes,
        },
        { header: 'INODES', field: 'Inodes', value: (row) => String(row.inodes), data: (row) => row.inodes },
      ];
      // Seldom, and then it matters.
      const unreadable: Column<VolumeUsage> = {
        header: 'UNREADABLE',
        field: 'Unreadable',
        value: (row) => String(row.unreadable ?? 0),
        data: (row) => row.unreadable ?? 0,
      };
      const columns = rows.some((row) => (row.unreadable ?? 0) > 0) ? [...shown, unreadable] : shown;
      if (rows.length > 0 || names.length === 0) say(renderList(rows, columns, format));
    });
}

/** `infinit volume …`. */
export function volumeCommand(options: () => GlobalOptions): Command {
  const command = new Command('volume').description('manage volumes');
  for (const make of [create, list, inspect, update, remove, mountCommand, unmountCommand, usage, check, trashCommand])
    command.addCommand(make(options));
  return command;
}
