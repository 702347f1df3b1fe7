import type { Health } from '../api/index.ts';
import { codeOf, InfinitError, messageOf } from '../base/index.ts';

/** What took too long, with what is known to hinder this host meanwhile; any other failure says itself why. */
export function explainSlowEnd(error: unknown, { state, reasons }: Health): unknown {
  if (codeOf(error) !== 'deadline-exceeded' || reasons.length === 0) return error;
  return new InfinitError('deadline-exceeded', `${messageOf(error)}; the host is ${state}: ${reasons.join('; ')}`, { cause: error });
}
