import { codeOf } from '../base/index.ts';

/** True for bytes that do not match their checksum. */
export function isDamaged(error: unknown): boolean {
  return codeOf(error) === 'damaged';
}
