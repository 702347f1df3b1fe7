import { boundedJson, InfinitError } from '../../base/index.ts';

/** What the body of a message between daemons says. @throws InfinitError `bad-argument` where it is no JSON. */
export function jsonBody(body: Uint8Array): unknown {
  try {
    return boundedJson(body);
  } catch (cause) {
    throw new InfinitError('bad-argument', 'a message of another host cannot be read', { cause });
  }
}
