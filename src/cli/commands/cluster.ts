import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from 'node:fs';

import { Command } from 'commander';

import { InfinitError, plainly } from '../../base/index.ts';
import { defaultPort, type TokenInfo, type TokenState } from '../../api/index.ts';
import { client, forEachName, type GlobalOptions, hintAtYes, insist, say, yesOption } from '../context.ts';
import { readGiven } from '../given-file.ts';
import { type Column, formatOption, listShapes, renderList } from '../output.ts';

const hourMs = 3_600_000;

/** Milliseconds in "90m", "24h" or "7d". */
function durationMs(text: string): number {
  const match = /^(?<count>0*[1-9]\d*)(?<unit>[mhd])$/.exec(text);
  if (match === null) throw new InfinitError('bad-argument', `--expires: "${text}" is no time such as 90m, 24h or 7d`);
  return Number(match.groups!['count']) * { m: hourMs / 60, h: hourMs, d: 24 * hourMs }[match.groups!['unit'] as 'm' | 'h' | 'd'];
}

/** Far more than a token has. */
const maxTokenBytes = 64 * 1024;

async function readToken(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readGiven(file, maxTokenBytes)).toString('utf8').trim();
  } catch (cause) {
    if (cause instanceof InfinitError) throw cause;
    throw new InfinitError('bad-argument', `cannot read the token file ${file}: ${plainly(cause)}`, { cause });
  }
  if (text === '')
    throw new InfinitError(
      'bad-argument',
      `the token file ${file} is empty: make one on a member (\`infinit cluster token create FILE\`), and copy it here`,
    );
  return text;
}

/**
 * Writes a token to a file that only its owner reads. The file comes first: a token that nobody can read would be good all the same.
 * @param takeBack Revokes one that could not be written.
 */
async function intoNewFile(file: string, make: () => Promise<TokenInfo>, takeBack: (id: string) => Promise<unknown>): Promise<TokenInfo> {
  let open: number;
  try {
    open = openSync(file, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new InfinitError(
      'bad-argument',
      exists ? `${file} exists already: name another file` : `cannot write the token to ${file}: ${plainly(cause)}`,
      {
        cause,
      },
    );
  }
  try {
    const made = await make();
    await writeOrTakeBack(file, open, made, takeBack);
    return made;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(open);
  }
}

/** The file system may be full. */
async function writeOrTakeBack(file: string, open: number, { id, text }: TokenInfo, takeBack: (id: string) => Promise<unknown>): Promise<void> {
  try {
    writeFileSync(open, `${text}\n`);
    fsyncSync(open);
  } catch (cause) {
    const why = `the token cannot be written to ${file}: ${plainly(cause)}`;
    await takeBack(id).catch((error: unknown) => {
      throw new InfinitError('unavailable', `${why}, nor be taken back (${plainly(error)}): \`infinit cluster token revoke ${id}\``, { cause });
    });
    throw new InfinitError('bad-argument', `${why}; it was taken back`, { cause });
  }
}

function init(options: () => GlobalOptions): Command {
  return new Command('init').description('make this host the first of a cluster').action(async () => {
    const { clusterId, keyFile } = await client(options()).initCluster();
    say(clusterId);
    process.stderr.write(
      `The cluster's key is ${keyFile}: keep a copy offline, this host may die. It lets this host invite and expel others;\n` +
        'once they have joined, `infinit cluster grant --all` lets each of them do so too.\n',
    );
  });
}

function grant(options: () => GlobalOptions): Command {
  return new Command('grant')
    .description('let members invite and expel hosts, as this one may')
    .argument('[name...]', 'hosts, as `infinit node ls` shows them')
    .option('--all', 'all members')
    .action(async (names: string[], { all }: { all?: boolean }) => {
      const daemon = client(options());
      if ((all === true) === names.length > 0) throw new InfinitError('bad-argument', 'name hosts, or say --all');
      const members = await daemon.listNodes();
      if (all === true && members.some(({ self, state }) => self && (state === 'alone' || state === 'outside')))
        throw new InfinitError('denied', 'this host belongs to no cluster: `infinit cluster init` makes one');
      const others = members.filter(({ self }) => !self);
      await forEachName(all === true ? others.map(({ peer }) => peer) : names, async (name) => {
        await daemon.grantNode(name);
        return others.find(({ peer }) => peer === name)?.name ?? name;
      });
    });
}

const tokenColumns: readonly Column<TokenState>[] = [
  { header: 'ID', field: 'Id', value: ({ id }) => id },
  { header: 'STATE', field: 'State', value: ({ state }) => state },
  { header: 'RIGHTS', field: 'Rights', value: ({ rights }) => rights.join(',') },
  { header: 'USED', field: 'Used', value: ({ hosts, uses }) => `${hosts.length} of ${uses}` },
  { header: 'EXPIRES', field: 'Expires', value: ({ expiresAt }) => expiresAt },
  { header: 'HOSTS', field: 'Hosts', value: ({ hosts }) => hosts.join(',') },
];

function join(options: () => GlobalOptions): Command {
  return new Command('join')
    .description('make this host a member of a cluster')
    .argument('<token-file>', 'from `infinit cluster token create`')
    .argument('[host[:port]...]', `any members (without a port: ${defaultPort}); none: found as \`infinit daemon --discover\` says`)
    .option('-f, --force', 'also where the trash of this host holds volumes: they are gone then')
    .action(async (file: string, addresses: string[], { force }: { force?: boolean }) => {
      await client(options()).joinCluster(addresses, await readToken(file), { force: force === true });
      say('joined');
    });
}

/** Whether this host would be out for good: it has no cluster otherwise, or nobody has let it in yet, or the daemon refuses it for its blocks. */
async function isForGood(options: () => GlobalOptions, force: boolean): Promise<boolean> {
  const { clusterId, hosts } = await client(options()).clusterStatus();
  const standing = hosts[0]!.roster.standing;
  return clusterId !== undefined && standing !== 'stranger' && (force || standing !== 'member');
}

function leave(options: () => GlobalOptions): Command {
  return new Command('leave')
    .description('have this host leave the cluster for good, once it was drained; or take back a join that nobody has answered yet')
    .option('-f, --force', 'also where it stores blocks: the others make its copies anew')
    .option(...yesOption)
    .action(async ({ force, yes }: { force?: boolean; yes?: boolean }) => {
      if (yes !== true && (await isForGood(options, force === true)))
        await insist('Leave the cluster? This host needs an empty state directory to come back.', 'this host stays in its cluster');
      const { alone, keyFile } = await client(options()).leaveCluster({ force: force === true });
      say('left');
      const next = alone
        ? 'This host is alone again. If its daemon is started with --join or --token, take them out.'
        : 'The others wait for it no longer. Stop its daemon; to come back, or to be used alone, it needs an empty state directory.';
      process.stderr.write(`${next}\n`);
      if (keyFile !== undefined)
        process.stderr.write(`The cluster's key is ${keyFile}: keep it, nobody can invite or expel without it or a right to.\n`);
    });
}

function token(options: () => GlobalOptions): Command {
  const create = new Command('create')
    .description('invite hosts: writes the secret to a file of mode 0600')
    .argument('<file>')
    .option('--expires <time>', 'how long it can be used', '24h')
    .option('--uses <n>', 'how many hosts may join with it', '1')
    .option('--rights <list>', 'store, write, invite', 'store,write')
    .action(async (file: string, { expires, uses, rights }: { expires: string; uses: string; rights: string }) => {
      if (!/^0*[1-9]\d*$/.test(uses)) throw new InfinitError('bad-argument', `--uses: "${uses}" is no number of hosts such as 3`);
      const wanted = { expiresInMs: durationMs(expires), uses: Number(uses), rights: rights.split(',') };
      const daemon = client(options());
      const made = await intoNewFile(
        file,
        () => daemon.createToken(wanted),
        (id) => daemon.revokeToken(id),
      );
      process.stderr.write(`${file}: good for ${made.uses} host${made.uses === 1 ? '' : 's'} until ${made.expiresAt}\n`);
      say(made.id);
    });
  const revoke = hintAtYes(new Command('revoke'))
    .description('let nobody else join with a token')
    .argument('<id>')
    .option('--hosts', 'expel the hosts that joined with it, too')
    .option('--unsafe', 'also where some block may have no majority without them')
    .option(...yesOption)
    .action(async (id: string, { hosts = false, unsafe = false, yes = false }: { hosts?: boolean; unsafe?: boolean; yes?: boolean }) => {
      if (hosts && !yes) {
        const joined = (await client(options()).listTokens()).find((each) => each.id === id)?.hosts ?? [];
        const whom = joined.length === 0 ? 'Expel whoever joined with it' : `Expel ${joined.join(', ')}`;
        await insist(`${whom}? Nobody of them is let in again.`, 'nobody was expelled');
      }
      const expelled = await client(options()).revokeToken(id, { hosts, unsafe });
      say([id, ...expelled.map((peer) => `expelled ${peer}`)].join('\n'));
    });
  const list = new Command('ls')
    .alias('list')
    .description('list the invitations that the hosts in reach know of')
    .option('-q, --quiet', 'ids only')
    .addOption(formatOption(listShapes, '{{.Id}}'))
    .action(async ({ quiet, format }: { quiet?: boolean; format: string }) => {
      const tokens = await client(options()).listTokens();
      say(quiet === true ? tokens.map(({ id }) => id).join('\n') : renderList(tokens, tokenColumns, format));
    });
  return new Command('token').description('invitations').addCommand(create).addCommand(list).addCommand(revoke);
}

/** `infinit cluster …`. */
export function clusterCommand(options: () => GlobalOptions): Command {
  return new Command('cluster')
    .description('manage the cluster')
    .addCommand(init(options))
    .addCommand(join(options))
    .addCommand(leave(options))
    .addCommand(grant(options))
    .addCommand(token(options));
}
