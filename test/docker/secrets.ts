import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What nobody may be shown: the keys below state directories, and what is secret in a token. */
export class Secrets {
  /** Every spelling of each that a program could let slip, by where it is kept. */
  readonly #spellings = new Map<string, readonly string[]>();

  constructor(stateDirectories: readonly string[], tokenFiles: readonly string[]) {
    for (const directory of stateDirectories) {
      for (const file of globSync(path.join(directory, '**/*.key'))) this.#add(file, Buffer.from(readFileSync(file, 'utf8').trim(), 'hex'));
    }
    for (const file of tokenFiles) {
      const text = readFileSync(file, 'utf8').trim();
      const { secret } = JSON.parse(Buffer.from(text.split('.')[1]!, 'base64url').toString()) as { readonly secret: string };
      this.#add(file, Buffer.from(secret, 'base64url'), text);
    }
  }

  #add(file: string, secret: Buffer, ...more: readonly string[]): void {
    const encoded = (['hex', 'base64', 'base64url', 'latin1'] as const).map((encoding) => secret.toString(encoding));
    this.#spellings.set(file, [...encoded, [...secret].join(','), ...more]);
  }

  get files(): readonly string[] {
    return [...this.#spellings.keys()];
  }

  /** The files whose secrets a text gives away. */
  in(text: string): readonly string[] {
    const seen = text.toLowerCase();
    return this.files.filter((file) => this.#spellings.get(file)!.some((spelling) => seen.includes(spelling.toLowerCase())));
  }
}
