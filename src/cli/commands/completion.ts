import { Command } from 'commander';

import { client, type GlobalOptions, say } from '../context.ts';

/** Verbs whose arguments are names of volumes. */
const takesVolumes = new Set(['inspect', 'update', 'rm', 'remove', 'mount', 'unmount', 'umount', 'usage', 'check']);

/** And of removed ones. */
const takesTrashed = new Set(['restore', 'empty']);

const bash = `_infinit() {
  local IFS=$'\\n'
  COMPREPLY=( $(infinit __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) )
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

/** What may stand where the cursor is: sub-commands, flags, and the names of living volumes. */
async function complete(root: Command, words: readonly string[], options: GlobalOptions): Promise<string[]> {
  const current = words.at(-1) ?? '';
  let command = root;
  let verb = '';
  for (const word of words.slice(0, -1)) {
    const next = command.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
    if (next === undefined) continue;
    command = next;
    verb = word;
  }
  const choices = current.startsWith('-')
    ? command.options.flatMap((option) => option.long ?? [])
    : command.commands.length > 0
      ? command.commands.filter((candidate) => !candidate.name().startsWith('_')).map((candidate) => candidate.name())
      : takesTrashed.has(verb)
        ? (await client(options).listTrash()).map((volume) => volume.name)
        : takesVolumes.has(verb)
          ? (await client(options).listVolumes()).map((volume) => volume.name)
          : [];
  return choices.filter((choice) => choice.startsWith(current)).toSorted();
}

/** `infinit completion bash|zsh|fish`, and the hidden command that its script calls. */
export function completionCommands(root: Command, options: () => GlobalOptions): Command[] {
  const completion = new Command('completion')
    .description('print the completion script of a shell: source <(infinit completion bash)')
    .argument('<shell>', 'bash, zsh or fish')
    .action((shell: string) => {
      const script = scripts[shell];
      if (script === undefined) root.error(`infinit: bad-argument: "${shell}" is none of bash, zsh, fish`, { exitCode: 2 });
      say(script);
    });
  const hidden = new Command('__complete')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => say((await complete(root, words, options())).join('\n')));
  return [completion, hidden];
}
