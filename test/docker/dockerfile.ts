import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { assembleSystem, productionModules } from '../../plugin/managed-rootfs.ts';
import { must } from './process.ts';

/** Where the official image has its programs. */
const programsPlace = 'usr/local/bin';

/** Takes the place of npm, as there may be no network: "installs" what the lock file wants in production. */
const npm = `#!/bin/sh
case " $* " in *" --omit=dev "*) cp -a /modules/node_modules . ;; *) echo "npm $*: modules for development, too?" >&2; exit 1 ;; esac
`;

/** One of a Dockerfile's stages. */
interface Stage {
  readonly name: string | undefined;
  readonly base: string;
  readonly steps: readonly (readonly [instruction: string, rest: string])[];
}

/** The stages in the text of a Dockerfile; its lines may go on after a backslash. */
export function stagesOf(text: string): readonly Stage[] {
  const lines = text.replaceAll(/\\\n/g, ' ').split('\n');
  const steps = lines.flatMap((line) => {
    const match = /^\s*(?<instruction>[A-Z]+)\s+(?<rest>.+)$/.exec(line);
    return match === null ? [] : ([[match.groups!['instruction']!, match.groups!['rest']!.trim()]] as const);
  });
  const starts = steps.flatMap(([instruction], index) => (instruction === 'FROM' ? [index] : []));
  return starts.map((start, index) => {
    const [, base, name] = /^(\S+)(?: AS (\S+))?$/.exec(steps[start]![1])!;
    return { name, base: base!, steps: steps.slice(start + 1, starts[index + 1]) };
  });
}

/**
 * The file system that the project's Dockerfile makes, without a registry: its own steps, one by one, with this machine's system and the given Node.js in
 * place of the base images, and a word of ours for npm's.
 * @param target An absent or empty directory.
 */
export async function buildByDockerfile(projectRoot: string, nodeBinary: string, scratch: string, target: string): Promise<void> {
  const stages = stagesOf(readFileSync(path.join(projectRoot, 'Dockerfile'), 'utf8'));
  const tools = path.join(scratch, 'tools');
  mkdirSync(path.join(tools, programsPlace), { recursive: true });
  cpSync(nodeBinary, path.join(tools, programsPlace, 'node'));
  writeFileSync(path.join(tools, programsPlace, 'npm'), npm);
  for (const name of ['node', 'npm']) chmodSync(path.join(tools, programsPlace, name), 0o755);
  for (const module of productionModules(projectRoot))
    cpSync(path.join(projectRoot, module), path.join(tools, 'modules', module), { recursive: true, preserveTimestamps: true });
  const made = (stage: Stage, index: number): string => path.join(scratch, stage.name ?? `stage-${index}`);
  for (const [index, stage] of stages.entries()) await build(stage, { projectRoot, scratch, tools, result: made(stage, index) });
  await must('cp', ['-a', made(stages.at(-1)!, stages.length - 1), target]);
  assembleSystem(target, nodeBinary, path.join(programsPlace, 'node'));
}

interface Place {
  readonly projectRoot: string;
  readonly scratch: string;
  /** What lies upon this machine's system, to make a base image of it. */
  readonly tools: string;
  /** Gets what the stage changed. */
  readonly result: string;
}

/** On an overlay of this machine's own system, in a mount namespace that takes it away again. */
async function build({ base, steps }: Stage, { projectRoot, scratch, tools, result }: Place): Promise<void> {
  if (!/^node:\d+-/.test(base)) throw new Error(`FROM ${base}: what stands for it here?`);
  const upon = path.join(scratch, 'upon');
  let workdir = '/';
  const commands = steps.flatMap(([instruction, rest]) => {
    const inside = (place: string): string => path.resolve(workdir, place);
    switch (instruction) {
      case 'WORKDIR':
        workdir = inside(rest);
        return [`mkdir -p "$root${workdir}"`];
      case 'COPY': {
        const words = rest.split(/\s+/);
        const from = words[0]!.startsWith('--from=') ? path.join(scratch, words.shift()!.slice('--from='.length)) : projectRoot;
        const to = words.pop()!;
        // Of a folder Docker copies what is in it.
        return words.map((source) =>
          to.endsWith('/')
            ? `mkdir -p "$root${inside(to)}"; cp -a '${path.join(from, source)}' "$root${inside(to)}/"`
            : `mkdir -p "$root${inside(to)}"; cp -a '${path.join(from, source)}/.' "$root${inside(to)}/"`,
        );
      }
      case 'RUN':
        return [`chroot "$root" sh -ec 'cd ${workdir}; ${rest.replaceAll("'", String.raw`'\''`)}'`];
      case 'ENTRYPOINT':
        return [];
      default:
        throw new Error(`${instruction} ${rest}: not a step that is known here`);
    }
  });
  const script = [
    // None of an overlay's layers may lie in another one.
    `mount -t tmpfs none '${upon}'; mkdir '${upon}/changes' '${upon}/work' '${upon}/root'; cp -a '${tools}' '${upon}/tools'`,
    `root='${upon}/root'; mount -t overlay -o 'lowerdir=${upon}/tools:/,upperdir=${upon}/changes,workdir=${upon}/work' none "$root"`,
    // Those of the machine are none of the image's.
    `rm -f "$root/usr/bin/node" "$root/usr/bin/npm"; mount -t proc none "$root/proc"; mount --bind /dev "$root/dev"`,
    `export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin`,
    ...commands,
    `mkdir -p '${result}'; find '${upon}/changes' -type c -delete; cp -a '${upon}/changes/.' '${result}/'`,
  ];
  mkdirSync(upon, { recursive: true });
  await must('unshare', ['--mount', '--pid', '--fork', 'sh', '-ec', script.join('\n')]);
}
