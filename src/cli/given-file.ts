import { createReadStream } from 'node:fs';

import { InfinitError } from '../base/index.ts';

/**
 * What is in a file that somebody named, or comes on standard input. A pipe, as the shell's `<(…)` is one, is read too; of what has no end no more is taken than may be.
 * @throws InfinitError `too-large`; what the system says where it cannot be read.
 */
export async function readGiven(file: string | undefined, maxBytes: number): Promise<Buffer> {
  const source = file === undefined ? process.stdin : createReadStream(file, { end: maxBytes });
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of source as AsyncIterable<Buffer>) {
    parts.push(part);
    length += part.length;
    if (length > maxBytes) throw new InfinitError('too-large', `${file ?? 'standard input'} has more than ${maxBytes} bytes`);
  }
  return Buffer.concat(parts);
}
