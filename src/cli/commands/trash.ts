import { setTimeout as sleep } from 'node:timers/promises';

import { Command } from 'commander';

import { checkNewVolumeName, type TrashedVolume } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { sayingWhatFor } from '../waiting.ts';
import { client, forEachName, type GlobalOptions, hintAtYes, insist, say, thoseThatAre, yesOption } from '../context.ts';
import { type Column, formatOption, listShapes, renderList } from '../output.ts';

/** How often it is asked whether the data is gone, in ms. */
const pollMs = 500;

const columns: readonly Column<TrashedVolume>[] = [
  { header: 'VOLUME NAME', field: 'Name', value: (volume) => volume.name },
  { header: 'ID', field: 'ID', value: (volume) => volume.id },
  { header: 'REMOVED', field: 'Removed', value: (volume) => volume.trashedAt },
  { header: 'DELETED', field: 'Deleted', value: (volume) => volume.deletedAt ?? (volume.state === 'deleting' ? 'now' : 'never') },
  { header: 'STATE', field: 'State', value: (volume) => volume.state },
];

function list(options: () => GlobalOptions): Command {
  return new Command('ls')
    .alias('list')
    .description('list removed volumes, and when their data is deleted')
    .option('-q, --quiet', 'ids only')
    .addOption(formatOption(listShapes, '{{.Name}}'))
    .action(async ({ quiet, format }: { quiet?: boolean; format: string }) => {
      const volumes = await client(options()).listTrash();
      say(quiet === true ? volumes.map(({ id }) => id).join('\n') : renderList(volumes, columns, format));
    });
}

function restore(options: () => GlobalOptions): Command {
  return new Command('restore')
    .description('bring a removed volume back')
    .argument('<volume>', 'its name (of several the one removed last) or its id')
    .option('--as <name>', 'under another name')
    .action(async (which: string, { as }: { as?: string }) => {
      if (as !== undefined) checkNewVolumeName(as);
      say((await client(options()).restoreVolume(which, as)).name);
    });
}

function empty(options: () => GlobalOptions): Command {
  return hintAtYes(new Command('empty'))
    .description('delete removed volumes for good: those named, or all that are not kept by on-remove=retain')
    .argument('[volume...]', 'names or ids')
    .option(...yesOption)
    .option('-d, --detach', 'do not wait until the data is gone')
    .action(async (which: string[], { yes, detach }: { yes?: boolean; detach?: boolean }) => {
      const trash = await client(options()).listTrash();
      const named = await thoseThatAre(which, async (given) => lookIn(trash, given));
      const meant = which.length > 0 ? named : trash.filter((volume) => volume.options['on-remove'] !== 'retain').map(({ name }) => name);
      if (meant.length === 0) return;
      if (yes !== true) await insist(`Delete ${meant.join(', ')}? It cannot be brought back.`, 'nothing was deleted');
      const deleted: TrashedVolume[] = [];
      if (which.length === 0) deleted.push(...(await client(options()).emptyTrash()));
      await forEachName(named, async (name) => {
        deleted.push(...(await client(options()).emptyTrash(name)));
        return '';
      });
      if (detach !== true) await sayingWhatFor(gone(options, deleted), stillThere(deleted), () => client(options()).status());
      say(deleted.map(({ name }) => name).join('\n'));
    });
}

function lookIn(trash: readonly TrashedVolume[], which: string): void {
  if (!trash.some(({ name, id }) => name === which || id === which))
    throw new InfinitError('not-found', `there is no volume "${which}" in the trash: see \`infinit volume trash ls\``);
}

/** What a person is told who waits: a host that can do it may be away, or be another one than this. */
function stillThere(volumes: readonly TrashedVolume[]): string {
  const encrypted = volumes.some(({ options }) => options['encryption'] !== 'none');
  const key = encrypted ? '; of an encrypted one a host that has its key deletes it' : '';
  return `the data of ${volumes.map(({ name }) => name).join(', ')} is not all deleted yet, which goes on without this command (--detach does not wait)${key}`;
}

async function gone(options: () => GlobalOptions, volumes: readonly TrashedVolume[]): Promise<void> {
  for (;;) {
    const left = new Set((await client(options()).listTrash()).map(({ id }) => id));
    if (!volumes.some(({ id }) => left.has(id))) return;
    await sleep(pollMs);
  }
}

/** `infinit volume trash …`. */
export function trashCommand(options: () => GlobalOptions): Command {
  const command = new Command('trash').description('removed volumes: list, bring back, delete for good');
  for (const make of [list, restore, empty]) command.addCommand(make(options));
  return command;
}
