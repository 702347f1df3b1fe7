import { chmodSync, cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { copyLibraries } from '../../plugin/managed-rootfs.ts';
import { postgresPrograms } from '../integration/programs.ts';
import type { LabHost } from './host.ts';
import { must } from './process.ts';

export const postgresImage = 'pg';

/** Whom the server runs as, in the image: as in the official one. */
export const postgresUser = 999;

const programs = ['initdb', 'postgres', 'psql', 'pg_amcheck'];

/** What the official image does: an empty volume becomes a database first. Nobody must answer meanwhile, since that one is stopped again. */
const serve = `#!/bin/sh
set -e
[ -s "$PGDATA/PG_VERSION" ] || initdb -U postgres -A trust --locale=C -E UTF8 --data-checksums > /dev/null
exec postgres -k /tmp -c listen_addresses= -c jit=off -c checkpoint_timeout=30s
`;

/** Makes the image of the files that Debian's package has put on this machine, without a registry. */
export async function importPostgres(host: LabHost): Promise<void> {
  const directory = path.join(host.directory, 'postgres-image');
  const bin = postgresPrograms();
  const lib = path.join(path.dirname(bin), 'lib');
  const share = bin.replace('/lib/', '/share/').replace(/\/bin$/, '');
  const at = (place: string): string => path.join(directory, place);
  for (const folder of ['bin', 'etc', 'tmp', 'usr/local/bin', bin, '/var/lib/postgresql']) mkdirSync(at(folder), { recursive: true });
  chmodSync(at('tmp'), 0o1777);
  cpSync('/bin/busybox', at('bin/busybox'));
  for (const applet of ['sh', 'ls', 'sleep', 'cat']) symlinkSync('busybox', at(`bin/${applet}`));
  writeFileSync(at('etc/passwd'), `root:x:0:0::/:/bin/sh\npostgres:x:${postgresUser}:${postgresUser}::/var/lib/postgresql:/bin/sh\n`);
  writeFileSync(at('etc/group'), `root:x:0:\npostgres:x:${postgresUser}:\n`);
  writeFileSync(at('usr/local/bin/serve'), serve);
  chmodSync(at('usr/local/bin/serve'), 0o755);
  for (const program of programs) cpSync(path.join(bin, program), at(path.join(bin, program)));
  // Without the compiler for queries, which is larger than all the rest.
  cpSync(lib, at(lib), { recursive: true, filter: (file) => !/\/(bitcode|llvmjit[^/]*)$/.test(file) });
  cpSync(share, at(share), { recursive: true, dereference: true });
  copyLibraries([...programs.map((program) => path.join(bin, program)), path.join(lib, 'plpgsql.so'), path.join(lib, 'dict_snowball.so')], directory);
  const tar = `${directory}.tar`;
  await must('tar', ['-C', directory, '-cf', tar, '.']);
  const changes = [`ENV PATH=${bin}:/usr/local/bin:/bin`, 'ENV PGDATA=/var/lib/postgresql/data', 'USER postgres', 'CMD ["serve"]'];
  await host.mustDocker(['import', ...changes.flatMap((change) => ['-c', change]), tar, postgresImage]);
}
