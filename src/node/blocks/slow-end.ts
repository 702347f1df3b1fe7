import { type Health, hindranceOf } from '../../api/index.ts';
import { codeOf, InfinitError, messageOf } from '../../base/index.ts';

/** What took too long, with what is known to hinder this host meanwhile; any other failure says itself why. */
export function explainSlowEnd(error: unknown, health: Health): unknown {
  const hindrance = hindranceOf(health);
  if (codeOf(error) !== 'deadline-exceeded' || hindrance === '') return error;
  return new InfinitError('deadline-exceeded', messageOf(error) + hindrance, { cause: error });
}
