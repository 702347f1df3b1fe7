import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { checkedOut, commitFile } from '../src/api/index.ts';
import { InfinitError } from '../src/base/index.ts';

/** The place of the project in the managed plugin's file system; config.json's entrypoint begins there. */
const projectPlace = 'opt/infinit';
/** The compile cache below the project, as infinit.sh has it. */
const cachePlace = 'build/compile-cache';
const nodePlace = 'usr/bin/node';

/** Programs that the daemon starts. */
const programs = ['mount', 'umount'];

/** Folders that must be there for the engine to mount upon. */
const folders = ['proc', 'sys', 'dev', 'etc', 'run/docker/plugins', 'tmp', 'root', 'usr/bin', 'var/lib/infinit', 'var/lib/infinit-volumes'];

/** Of a module, what is only for those who develop with it; of its native code, what is for other machines or left from building it. */
const superfluous = new RegExp(
  String.raw`\.(?:map|md|markdown|d\.[cm]?ts)$|^/(?:deps|\.github|tests?|docs|examples?)$|/obj\.target$|/prebuilds/(?!linux-${process.arch}$)[^/]+$`,
);

/** Below a part of the project, what another process is writing and will give its name in a moment. */
const draft = /^(?:compile-cache\/[^/]+\/[^/]+\.[^/]+|.*\.tmp)$/;

/** What {@link assembleRootfs} takes. */
export interface RootfsSettings {
  /** This project, its modules installed and its add-on built. */
  readonly projectRoot: string;
  /** An absent or empty directory. */
  readonly target: string;
  /** The Node.js to take along. */
  readonly nodeBinary: string;
  /** Parts of the project, files or folders. */
  readonly parts?: readonly string[];
}

/**
 * Makes the managed plugin's file system from this machine's own files, without a registry: Node.js and mount(8) with the shared
 * libraries that they name, the project, and those modules that package-lock.json wants in production.
 */
export function assembleRootfs(settings: RootfsSettings): void {
  const { projectRoot, target, nodeBinary, parts = ['src', 'plugin', 'build', 'package.json'] } = settings;
  const place = path.join(target, projectPlace);
  compile(projectRoot, nodeBinary);
  for (const part of [...parts, ...productionModules(projectRoot)]) copyPart(path.join(projectRoot, part), path.join(place, part));
  const commit = checkedOut(projectRoot);
  if (commit !== undefined) writeFileSync(path.join(place, commitFile), `${commit}\n`);
  assembleSystem(target, nodeBinary, nodePlace);
}

/** Where it fails the plugin starts all the same, more slowly. */
function compile(projectRoot: string, nodeBinary: string): void {
  const env = { NODE_COMPILE_CACHE: path.join(projectRoot, cachePlace), NODE_COMPILE_CACHE_PORTABLE: '1' };
  spawnSync(nodeBinary, ['--disable-warning=ExperimentalWarning', path.join(projectRoot, 'src/cli/compile.ts')], { env, stdio: 'inherit' });
}

/** What the project needs of a system, around the project: in an image it is the base image's. @param nodeAt Where Node.js comes to be. */
export function assembleSystem(target: string, nodeBinary: string, nodeAt: string): void {
  for (const folder of folders) mkdirSync(path.join(target, folder), { recursive: true });
  writeFileSync(path.join(target, 'etc/passwd'), 'root:x:0:0:root:/root:/sbin/nologin\n');
  writeFileSync(path.join(target, 'etc/group'), 'root:x:0:\n');
  const node = path.join(target, nodeAt);
  mkdirSync(path.dirname(node), { recursive: true });
  cpSync(realpathSync(nodeBinary), node);
  chmodSync(node, 0o755);
  const addons = globSync(`${path.join(target, projectPlace)}/**/*.node`);
  copyLibraries([nodeBinary, ...programs.map((program) => copyProgram(program, target)), ...addons], target);
}

/** Paths of the modules below the project that are not for development only. */
export function productionModules(projectRoot: string): string[] {
  const { packages } = JSON.parse(readFileSync(path.join(projectRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  return Object.entries(packages).flatMap(([place, { dev, devOptional }]) =>
    place === '' || dev === true || devOptional === true || !existsSync(path.join(projectRoot, place)) ? [] : [place],
  );
}

/** Modification times are kept, or the add-on would seem older than its source. */
function copyPart(from: string, to: string): void {
  if (!existsSync(from)) return;
  const filter = (file: string): boolean => {
    const inside = path.relative(from, file);
    // A nested module has an entry of its own in the lock file.
    return inside === '' || !(inside === 'node_modules' || draft.test(inside) || (from.includes('/node_modules/') && superfluous.test(`/${inside}`)));
  };
  cpSync(from, to, { recursive: true, dereference: true, preserveTimestamps: true, filter });
}

function copyProgram(program: string, target: string): string {
  const found = ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].map((folder) => path.join(folder, program)).find((file) => existsSync(file));
  if (found === undefined) throw new InfinitError('unsupported', `this machine has no ${program}: run \`apt-get install mount\``);
  const place = path.join(target, 'usr/bin', program);
  cpSync(realpathSync(found), place);
  chmodSync(place, 0o755);
  return found;
}

/** The libraries that the dynamic linker names, at the places where it will look again. */
export function copyLibraries(binaries: readonly string[], target: string): void {
  const libraries = new Set<string>();
  for (const binary of binaries) {
    const { stdout, status } = spawnSync('ldd', [binary], { encoding: 'utf8' });
    // A static program, or an add-on for another C library: there is nothing to take along.
    if (status !== 0) continue;
    for (const match of stdout.matchAll(/(?:=> |^\s+)(?<file>\/\S+) \(0x/gm)) libraries.add(match.groups!['file']!);
  }
  for (const library of libraries) {
    const place = path.join(target, library);
    mkdirSync(path.dirname(place), { recursive: true });
    cpSync(realpathSync(library), place);
  }
}
