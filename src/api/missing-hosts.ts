import { codeOf } from '../base/index.ts';

/**
 * What a failure for want of hosts is to whoever called: which block has too few copies in reach says nothing to them. undefined: it failed for something else.
 * @param whoIsMissing Which hosts are, where that is why calls find too little.
 */
export function forWantOfHosts(error: unknown, whoIsMissing: () => string | undefined): string | undefined {
  const code = codeOf(error);
  if (code !== 'unavailable' && code !== 'unknown-outcome') return undefined;
  const missing = whoIsMissing();
  return missing === undefined || code === 'unavailable' ? missing : `whether it was done is not known, since ${missing}`;
}
