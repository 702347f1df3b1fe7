import type { Health } from './status.ts';

/** What hinders a host, to follow what takes long because of it; empty where nothing is known to. */
export function hindranceOf({ state, reasons }: Health): string {
  return reasons.length === 0 ? '' : `; the host is ${state}: ${reasons.join('; ')}`;
}
