import type { AddHelpTextContext } from 'commander';

import { volumeOptions } from '../api/index.ts';

/** What follows the flags in the help of a command that takes `-o`: the options of volumes, or some of them, as the parser knows them. */
export function volumeOptionHelp(names?: readonly string[]): (context: AddHelpTextContext) => string {
  return ({ command }) => {
    const shown = volumeOptions.filter(({ name }) => names?.includes(name) ?? true);
    const helper = command.createHelp();
    helper.prepareContext({ helpWidth: process.stdout.columns });
    const width = Math.max(...shown.map(({ name }) => name.length));
    const items = shown.map(({ name, help, type, fallback }) =>
      helper.formatItem(name, width, `${help} (${type.wanted}; default: ${fallback})`, helper),
    );
    return `\nVolume options (-o NAME=VALUE):\n${items.join('\n')}`;
  };
}

/** What commander says of an unknown flag, and how it is said where an option of volumes was meant. */
export function explainVolumeOption(text: string): string {
  const name = /unknown option '--([a-z-]+)'/.exec(text)?.[1];
  return volumeOptions.some((option) => option.name === name) ? `${text.trimEnd()}; of volumes it is -o ${name}=VALUE\n` : text;
}
