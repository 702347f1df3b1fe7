import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { Command } from 'commander';

import { InfinitError, messageOf } from '../../base/index.ts';
import type { TokenInfo } from '../../api/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';

const hourMs = 3_600_000;

/** Milliseconds in "90m", "24h" or "7d". */
function durationMs(text: string): number {
  const match = /^(?<count>\d+)(?<unit>[mhd])$/.exec(text);
  if (match === null) throw new InfinitError('bad-argument', `--expires: "${text}" is no time such as 90m, 24h or 7d`);
  return Number(match.groups!['count']) * { m: hourMs / 60, h: hourMs, d: 24 * hourMs }[match.groups!['unit'] as 'm' | 'h' | 'd'];
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new InfinitError('bad-argument', `cannot read the token file: ${messageOf(cause)}`, { cause });
  }
}

/** Writes a token to a file that only its owner reads. The file comes first: a token that nobody can read would be good all the same. */
async function intoNewFile(file: string, make: () => Promise<TokenInfo>): Promise<TokenInfo> {
  let open: number;
  try {
    open = openSync(file, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new InfinitError('bad-argument', exists ? `${file} exists already: name another file` : `cannot write the token: ${messageOf(cause)}`, {
      cause,
    });
  }
  try {
    const made = await make();
    writeFileSync(open, `${made.text}\n`);
    return made;
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  } finally {
    closeSync(open);
  }
}

function init(options: () => GlobalOptions): Command {
  return new Command('init').description('make this host the first of a cluster').action(async () => {
    say(await client(options()).initCluster());
  });
}

function join(options: () => GlobalOptions): Command {
  return new Command('join')
    .description('make this host a member of a cluster')
    .argument('<token-file>', 'from `infinit cluster token create`')
    .argument('[host:port...]', 'any members; none: found as `infinit daemon --discover` says')
    .action(async (file: string, addresses: string[]) => {
      await client(options()).joinCluster(addresses, readToken(file));
      say('joined');
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
      const wanted = { expiresInMs: durationMs(expires), uses: Number(uses), rights: rights.split(',') };
      const made = await intoNewFile(file, () => client(options()).createToken(wanted));
      process.stderr.write(`${file}: good for ${made.uses} host${made.uses === 1 ? '' : 's'} until ${made.expiresAt}\n`);
      say(made.id);
    });
  const revoke = new Command('revoke')
    .description('let nobody else join with a token')
    .argument('<id>')
    .option('--hosts', 'expel the hosts that joined with it, too')
    .action(async (id: string, { hosts }: { hosts?: boolean }) => {
      const expelled = await client(options()).revokeToken(id, hosts === true);
      say([id, ...expelled.map((peer) => `expelled ${peer}`)].join('\n'));
    });
  return new Command('token').description('invitations').addCommand(create).addCommand(revoke);
}

/** `infinit cluster …`. */
export function clusterCommand(options: () => GlobalOptions): Command {
  return new Command('cluster').description('manage the cluster').addCommand(init(options)).addCommand(join(options)).addCommand(token(options));
}
