import { isAddress, kindOf } from '../../block/index.ts';

/** Pieces that come at once. */
export const maxPieces = 512;
const maxBlockBytes = 1024 * 1024;

type Fields = Readonly<Record<string, unknown>>;

/** Whether it is what `Written` says. */
export function isWritten(value: unknown): boolean {
  const written = fieldsOf(value);
  if (written === undefined || !isCount(written['session']) || !isVersion(written['expect']) || !isVersion(written['version'])) return false;
  const { pieces, changes } = written;
  return Array.isArray(pieces) && pieces.length <= maxPieces && pieces.every(isPiece) && isChanges(changes);
}

function isPiece(value: unknown): boolean {
  const piece = fieldsOf(value);
  if (piece === undefined || !isCount(piece['offset'])) return false;
  const { bytes, length, at, blockBytes, address } = piece;
  if (bytes !== undefined) return bytes instanceof Uint8Array && bytes.length > 0;
  if (!isCount(length) || !isCount(at) || !isCount(blockBytes) || length === 0 || blockBytes > maxBlockBytes) return false;
  return at + length <= blockBytes && isAddress(address) && kindOf(address) === 'immutable';
}

function isChanges(value: unknown): boolean {
  const changes = fieldsOf(value);
  const known = ['mode', 'uid', 'gid'].every((name) => changes?.[name] === undefined || isCount(changes[name]));
  return changes !== undefined && known && (changes['accessed'] === undefined || isTime(changes['accessed']));
}

function isVersion(value: unknown): boolean {
  const version = fieldsOf(value);
  return version !== undefined && isTime(version['changed']) && isTime(version['modified']) && isCount(version['size']);
}

function isTime(value: unknown): boolean {
  const time = fieldsOf(value);
  return Number.isSafeInteger(time?.['seconds']) && isCount(time?.['nanoseconds']) && time['nanoseconds'] < 1e9;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
}
