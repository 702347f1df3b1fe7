import type { Command } from 'commander';

/** What commander says of an unknown command, and where there is one of that name: `infinit token` is `infinit cluster token`. */
export function explainCommand(program: Command, text: string): string {
  const name = /unknown command '([^']+)'/.exec(text)?.[1];
  if (name === undefined) return text;
  const found = program.commands.flatMap((object) =>
    object.commands.some((verb) => verb.name() === name) ? [`\`infinit ${object.name()} ${name}\``] : [],
  );
  return found.length === 0 ? text : `${text.trimEnd()}; there is ${found.join(', ')}\n`;
}
