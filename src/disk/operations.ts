import { isAddress, kindOf } from '../block/index.ts';
import { InfinitError } from '../base/index.ts';
import type { DiskOperation } from './disk.ts';
import type { Need } from './health.ts';
import type { NewRecord } from './write-queue.ts';
import { maxValueBytes, recordBytes, recordTypes } from './record.ts';
import { metaId, packMeta } from './store-directory.ts';

/** Values above this are bulk data, whatever their address. */
const maxMetadataBytes = 64 * 1024 + 1024;
const emptyBytes = new Uint8Array();

/** @throws InfinitError `bad-argument`, `too-large` that names the operation's target. */
export function checkOperations(operations: readonly DiskOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put' || operation.type === 'delete') {
      if (!isAddress(operation.address)) throw new InfinitError('bad-argument', `"${String(operation.address).slice(0, 80)}" is not a block address`);
    } else metaId(operation.key);
    if ((operation.type === 'put' || operation.type === 'put-meta') && operation.bytes.length > maxValueBytes - 1024)
      throw new InfinitError('too-large', `a value of ${operation.bytes.length} bytes is over the limit of ${maxValueBytes - 1024}`);
  }
}

/** The operations as records of the log. */
export function toRecords(operations: readonly DiskOperation[]): NewRecord[] {
  return operations.map((operation) => {
    switch (operation.type) {
      case 'put':
        return { type: recordTypes.put, id: operation.address, bytes: operation.bytes };
      case 'delete':
        return { type: recordTypes.delete, id: operation.address, bytes: emptyBytes };
      case 'put-meta':
        return { type: recordTypes.put, id: metaId(operation.key), bytes: packMeta(operation.key, operation.bytes) };
      case 'delete-meta':
        return { type: recordTypes.delete, id: metaId(operation.key), bytes: emptyBytes };
    }
  });
}

/** What the operations cost, and how much of the reserve they may use. */
export function costOf(operations: readonly DiskOperation[]): { readonly bytes: number; readonly need: Need } {
  let bytes = 0;
  let need: Need = 'cleanup';
  for (const operation of operations) {
    const length = operation.type === 'put' || operation.type === 'put-meta' ? operation.bytes.length : 0;
    bytes += recordBytes(length);
    if (operation.type === 'put' && (kindOf(operation.address) === 'immutable' || length > maxMetadataBytes)) need = 'bulk';
    else if (operation.type.startsWith('put') && need === 'cleanup') need = 'metadata';
  }
  return { bytes, need };
}
