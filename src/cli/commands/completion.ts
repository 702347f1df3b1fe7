import { Command } from 'commander';

import { changeableOptions, type ControlClient, type VolumeOption, volumeOptions } from '../../api/index.ts';
import { InfinitError } from '../../base/index.ts';
import { client, type GlobalOptions, say } from '../context.ts';
import { nodeFilters } from './node.ts';
import { volumeFilters } from './volume.ts';

/** Names that may stand as arguments of a command: one, or as many as one likes. */
interface Arguments {
  readonly names: (daemon: ControlClient) => Promise<readonly string[]>;
  readonly many: boolean;
}

const volumes = async (daemon: ControlClient): Promise<readonly string[]> => (await daemon.listVolumes()).map(({ name }) => name);
const trashed = async (daemon: ControlClient): Promise<readonly string[]> => (await daemon.listTrash()).map(({ name }) => name);
const hosts = async (daemon: ControlClient): Promise<readonly string[]> => (await daemon.listNodes()).map(({ name }) => name);
const tokens = async (daemon: ControlClient): Promise<readonly string[]> => (await daemon.listTokens()).map(({ id }) => id);

/** By the whole command: an `rm` of a volume, of a host and of a block have nothing in common. */
const argumentsOf: Readonly<Record<string, Arguments>> = {
  'volume inspect': { names: volumes, many: true },
  'volume update': { names: volumes, many: true },
  'volume rm': { names: volumes, many: true },
  'volume mount': { names: volumes, many: false },
  'volume unmount': { names: volumes, many: false },
  'volume usage': { names: volumes, many: true },
  'volume check': { names: volumes, many: true },
  'volume trash restore': { names: trashed, many: false },
  'volume trash empty': { names: trashed, many: true },
  'node inspect': { names: hosts, many: true },
  'node rm': { names: hosts, many: true },
  'node drain': { names: hosts, many: false },
  'cluster grant': { names: hosts, many: true },
  'cluster token revoke': { names: tokens, many: false },
};

/** `size=` of an option; with what stands before the "=", each value that it can have. */
function optionChoices(names: readonly string[], current: string): readonly string[] {
  return volumeOptions.flatMap(({ name, type }: VolumeOption) => {
    if (!names.includes(name)) return [];
    return current.startsWith(`${name}=`) ? (type.choices ?? []).map((choice) => `${name}=${choice}`) : [`${name}=`];
  });
}

/** What may stand after a flag, of which `current` is there. */
const valuesOf: Readonly<Record<string, (current: string) => readonly string[]>> = {
  'volume create --opt': (current) =>
    optionChoices(
      volumeOptions.map(({ name }) => name),
      current,
    ),
  'volume update --opt': (current) => optionChoices(changeableOptions, current),
  'volume ls --filter': () => volumeFilters.choices,
  'node ls --filter': () => nodeFilters.choices,
};

// Bash takes "=" for a word of its own, and wants what stands after it.
const bash = `_infinit() {
  local IFS=$'\\n' word words=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ \${#words[@]} -gt 0 && ( $word == = || \${words[-1]} == *= ) ]]; then words[-1]+=$word; else words+=("$word"); fi
  done
  COMPREPLY=( $(infinit __complete -- "\${words[@]}" 2>/dev/null) )
  [[ \${words[-1]} == *=* ]] && COMPREPLY=( "\${COMPREPLY[@]#*=}" )
  [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _infinit infinit`;

const zsh = `#compdef infinit
_infinit() {
  local -a found
  found=(\${(f)"$(infinit __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -a found
}
compdef _infinit infinit`;

const fish = `complete -c infinit -f -a '(infinit __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'`;

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish };

/** What may stand where the cursor is: sub-commands, flags and their values, and names that the daemon knows. */
async function complete(root: Command, words: readonly string[], options: GlobalOptions): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  let command = root;
  const path: string[] = [];
  let given = 0;
  for (const word of words.slice(0, -1)) {
    const next = command.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
    if (next === undefined) {
      if (path.length > 0 && !word.startsWith('-')) given++;
      continue;
    }
    command = next;
    path.push(next.name());
  }
  const choices = await choicesAt(command, path.join(' '), { current, before: words.at(-2), given }, () => client(options));
  return choices.filter((choice) => choice.startsWith(current)).toSorted();
}

interface Cursor {
  readonly current: string;
  readonly before: string | undefined;
  /** Arguments that stand already. */
  readonly given: number;
}

async function choicesAt(
  command: Command,
  path: string,
  { current, before, given }: Cursor,
  daemon: () => ControlClient,
): Promise<readonly string[]> {
  const flag = command.options.find(({ short, long }) => before !== undefined && (before === short || before === long));
  if (flag?.required === true) return valuesOf[`${path} ${flag.long}`]?.(current) ?? [];
  if (current.startsWith('-')) return command.options.flatMap((option) => option.long ?? []);
  if (command.commands.length > 0) return command.commands.map((child) => child.name()).filter((name) => !name.startsWith('_'));
  const wanted = argumentsOf[path];
  return wanted === undefined || (given > 0 && !wanted.many) ? [] : wanted.names(daemon());
}

/** `infinit completion bash|zsh|fish`, and the hidden command that its script calls. */
export function completionCommands(root: Command, options: () => GlobalOptions): Command[] {
  const completion = new Command('completion')
    .description('print the completion script of a shell: source <(infinit completion bash)')
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell: string) => {
      if (!Object.hasOwn(scripts, shell)) throw new InfinitError('bad-argument', `"${shell}" is none of ${Object.keys(scripts).join(', ')}`);
      say(scripts[shell]!);
    });
  const hidden = new Command('__complete')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => say((await complete(root, words, options())).join('\n')));
  return [completion, hidden];
}
