import { InfinitError } from '../../base/index.ts';

/** What the body of a message between daemons says. @throws InfinitError `bad-argument` where it is no JSON. */
export function jsonBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch {
    throw new InfinitError('bad-argument', 'a message of another host cannot be read');
  }
}
